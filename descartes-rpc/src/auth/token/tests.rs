use super::*;

const SECRET: &str = "a secret of more than thirty-two bytes, for tests";
const NOW: i64 = 1_795_223_000;

fn key() -> TokenKey {
    TokenKey::new(Secret::new(SECRET), "descartes").unwrap()
}

fn claims() -> Claims {
    Claims {
        subject: "ann".to_owned(),
        scopes: vec!["agent:read".to_owned(), "chat:write".to_owned()],
        issued_at: NOW,
        begins_at: NOW,
        expires_at: NOW + 60,
        id: Some("7".to_owned()),
        makers: Vec::new(),
    }
}

fn at(secs: i64) -> Timestamp {
    Timestamp::from_millis(secs * 1000)
}

/// A token with any header and payload, signed with `secret`.
fn made(header: &str, payload: &str, secret: &str) -> String {
    let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(message.as_bytes());
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()))
}

fn said(payload: &str) -> Result<Claims, Flaw> {
    key().verify(&made(HEADER, payload, SECRET), at(NOW))
}

fn headed(header: &str) -> Result<Claims, Flaw> {
    key().verify(&made(header, &claims().write("descartes"), SECRET), at(NOW))
}

#[test]
fn what_was_signed_is_believed_until_its_time_is_over() {
    let token = key().sign(&claims());
    assert_eq!(key().verify(token.expose(), at(NOW)), Ok(claims()));
    assert_eq!(key().verify(token.expose(), at(NOW + 59)), Ok(claims()));
    assert_eq!(key().verify(token.expose(), at(NOW + 60)), Err(Flaw::Expired));
    assert_eq!(key().verify(token.expose(), at(NOW - 60)), Ok(claims()));
    assert_eq!(key().verify(token.expose(), at(NOW - 61)), Err(Flaw::Early));
}

#[test]
fn a_token_of_another_library_is_read() {
    // RFC 7515 appendix A.1 has the algorithm, PyJWT the spaces and the order.
    let token = made(
        r#"{"typ": "JWT", "alg": "HS256"}"#,
        r#"{"sub": "ann", "exp": 1795223060.9, "iat": 1795223000, "aud": ["x", "descartes"],
            "scope": "agent:read  chat:write", "iss": "somebody", "nbf": 1795223010}"#,
        SECRET,
    );
    let read = key().verify(&token, at(NOW)).unwrap();
    assert_eq!(read, Claims { id: None, begins_at: NOW + 10, ..claims() });
}

#[test]
fn every_other_algorithm_is_refused_although_the_signature_fits() {
    for alg in ["none", "None", "NONE", "", "HS384", "HS512", "RS256", "ES256", "hs256", "HS256 "] {
        let header = format!(r#"{{"alg":"{alg}","typ":"JWT"}}"#);
        assert_eq!(headed(&header), Err(Flaw::Header), "{alg}");
    }
    for header in [
        r#"{"typ":"JWT"}"#,
        r#"{"alg":null}"#,
        r#"{"alg":["HS256"]}"#,
        r#"{"alg":"none","alg":"HS256"}"#,
        r#"["HS256","JWT"]"#,
        r#""HS256""#,
        "{",
        r#"{"alg":"HS256"} x"#,
        r#"{"alg":"HS256","typ":"at+jwt"}"#,
        r#"{"alg":"HS256","typ":null}"#,
    ] {
        assert_eq!(headed(header), Err(Flaw::Header), "{header}");
    }
    assert!(headed(r#"{"alg":"HS256"}"#).is_ok());
    assert!(headed(r#"{"alg":"HS256","typ":"jwt"}"#).is_ok());
}

#[test]
fn a_header_that_names_a_key_or_asks_for_more_is_refused() {
    for more in [
        r#""kid":"../../../../dev/null""#,
        r#""kid":"x' UNION SELECT 'secret"#,
        r#""jku":"http://127.0.0.1/keys""#,
        r#""jwk":{"kty":"oct","k":"AA"}"#,
        r#""x5u":"http://127.0.0.1/cert""#,
        r#""x5c":[]"#,
        r#""crit":["exp"]"#,
        r#""b64":false"#,
        r#""zip":"DEF""#,
        r#""cty":"JWT""#,
    ] {
        assert_eq!(headed(&format!(r#"{{"alg":"HS256",{more}}}"#)), Err(Flaw::Header), "{more}");
    }
}

#[test]
fn who_does_not_know_the_secret_cannot_sign() {
    let payload = claims().write("descartes");
    for secret in ["", "\0", "null", "secret", &SECRET[1..], &format!("{SECRET}x")] {
        let token = made(HEADER, &payload, secret);
        assert_eq!(key().verify(&token, at(NOW)), Err(Flaw::Signature), "{secret}");
    }
    let token = key().sign(&claims());
    let (message, signature) = token.expose().rsplit_once('.').unwrap();
    let longer = format!("{message}.{}", URL_SAFE_NO_PAD.encode([0; 64]));
    let half = format!("{message}.{}", &signature[..20]);
    for wrong in [longer, half] {
        assert_eq!(key().verify(&wrong, at(NOW)), Err(Flaw::Signature), "{wrong}");
    }
    let other = TokenKey::new(Secret::new(SECRET), "another").unwrap();
    assert_eq!(other.verify(token.expose(), at(NOW)), Err(Flaw::Audience));
}

#[test]
fn what_has_not_the_shape_of_a_token_is_refused() {
    let token = key().sign(&claims());
    let token = token.expose();
    let (message, signature) = token.rsplit_once('.').unwrap();
    let (header, payload) = message.split_once('.').unwrap();
    let encrypted = format!("{header}.a.b.{payload}.{signature}");
    for wrong in [
        String::new(),
        "..".to_owned(),
        message.to_owned(),
        format!("{message}."),
        format!("{token}."),
        format!("{token}.{signature}"),
        format!("{token} "),
        format!(" {token}"),
        format!("{token}="),
        format!("{token}\n"),
        format!(".{payload}.{signature}"),
        format!("{header}..{signature}"),
        encrypted,
        // The last letter of 32 bytes has bits to spare: one text stands for a signature.
        format!("{message}.{}B", &signature[..signature.len() - 1]),
        token.replace('.', "+"),
        "ä.ö.ü".to_owned(),
    ] {
        let refused = key().verify(&wrong, at(NOW)).unwrap_err();
        assert!(matches!(refused, Flaw::Shape | Flaw::Signature), "{wrong}: {refused:?}");
    }
    let nested = made(HEADER, &format!("\"{token}\""), SECRET);
    assert_eq!(key().verify(&nested, at(NOW)), Err(Flaw::Claims));
    for length in [TOKEN_BYTES + 1, 1 << 20] {
        assert_eq!(key().verify(&"a".repeat(length), at(NOW)), Err(Flaw::TooLong));
    }
    let long = Claims { scopes: vec!["x".repeat(1 << 20)], ..claims() };
    assert_eq!(key().verify(key().sign(&long).expose(), at(NOW)), Err(Flaw::TooLong));
}

#[test]
fn every_claim_is_needed_once_and_of_its_type() {
    let whole = [
        ("sub", r#""ann""#),
        ("exp", "1795223060"),
        ("iat", "1795223000"),
        ("aud", r#""descartes""#),
        ("scope", r#""agent:read""#),
    ];
    let with = |name: &str, value: Option<&str>| {
        let members = whole.iter().filter_map(|(member, usual)| {
            let value = if *member == name { value? } else { *usual };
            Some(format!("\"{member}\":{value}"))
        });
        format!("{{{}}}", members.collect::<Vec<_>>().join(","))
    };
    assert!(said(&with("", None)).is_ok());
    for (name, usual) in whole {
        assert_eq!(said(&with(name, None)), Err(Flaw::Claims), "without {name}");
        assert_eq!(said(&with(name, Some("null"))), Err(Flaw::Claims), "{name}: null");
        assert_eq!(said(&with(name, Some("{}"))), Err(Flaw::Claims), "{name}: an object");
        let twice = with(name, Some(&format!(r#"{usual},"{name}":{usual}"#)));
        assert_eq!(said(&twice), Err(Flaw::Claims), "{name} twice");
    }
    for (name, usual) in [("nbf", "1795223000"), ("jti", r#""7""#), ("made_with", r#"["id:7"]"#)] {
        let more = |value: &str| with("sub", Some(&format!(r#""ann","{name}":{value}"#)));
        assert!(said(&more(usual)).is_ok(), "{name}");
        assert_eq!(said(&more("null")), Err(Flaw::Claims), "{name}: null");
        assert_eq!(said(&more("{}")), Err(Flaw::Claims), "{name}: an object");
        let twice = more(&format!(r#"{usual},"{name}":{usual}"#));
        assert_eq!(said(&twice), Err(Flaw::Claims), "{name} twice");
    }
    for value in [r#"["descartes",null]"#, "[null]"] {
        assert_eq!(said(&with("aud", Some(value))), Err(Flaw::Claims), "aud: {value}");
    }
    for (name, value) in [
        ("exp", r#""1795223060""#),
        ("exp", r#""never""#),
        ("exp", "true"),
        ("exp", "-1"),
        ("exp", "1e300"),
        ("exp", "99999999999999999999"),
        ("exp", "[1795223060]"),
        ("iat", r#""1795223000""#),
        ("sub", "7"),
        ("sub", r#""""#),
        ("sub", r#""local""#),
        ("sub", r#""agent:0194c8e0-7a00-7000-8000-0123456789ab""#),
        ("sub", r#""a\nb""#),
        ("scope", "7"),
        ("scope", "[7]"),
        ("aud", "7"),
    ] {
        assert_eq!(said(&with(name, Some(value))), Err(Flaw::Claims), "{name}: {value}");
    }
    for value in [r#""Descartes""#, r#""""#, "[]", r#"["x"]"#, r#""descartes ""#] {
        assert_eq!(said(&with("aud", Some(value))), Err(Flaw::Audience), "{value}");
    }
    let many = format!(r#""{}""#, "a ".repeat(TOKEN_SCOPES_TEST));
    assert_eq!(said(&with("scope", Some(&many))), Err(Flaw::Claims));
    assert_eq!(said(&format!("[{}]", r#""ann",1,2,"descartes","x""#)), Err(Flaw::Claims));
    assert_eq!(said(&format!("{} x", with("", None))), Err(Flaw::Claims));
    assert_eq!(said(&format!("{}{}", with("", None), with("", None))), Err(Flaw::Claims));
}

const TOKEN_SCOPES_TEST: usize = crate::limits::TOKEN_SCOPES + 1;

#[test]
fn a_short_secret_signs_nothing() {
    assert_eq!(TokenKey::new(Secret::new("x".repeat(31)), "a").unwrap_err(), ShortSecret);
    assert!(TokenKey::new(Secret::new("x".repeat(32)), "a").is_ok());
}
