//! Tokens that somebody else has made, good and bad (RFC 8725).

use std::process::Command;

use super::{SECRET, ask, guarded};
use crate::rig::skip;

/// Prints tokens, one a line: its name, whether it is good, the token.
const MADE_BY_PYTHON: &str = r#"
import base64, hashlib, hmac, json, sys, time
secret, now = sys.argv[1].encode(), int(time.time())
b64 = lambda data: base64.urlsafe_b64encode(data).rstrip(b"=")
good = {"sub": "ann", "aud": "descartes", "scope": ["agent:read"], "iat": now, "exp": now + 600}
def make(name, header={}, claims={}, key=secret, digest=hashlib.sha256, sign=None, ok=0):
    head = {"alg": "HS256", "typ": "JWT", **header}
    body = {k: v for k, v in {**good, **claims}.items() if v is not Ellipsis}
    text = b64(json.dumps(head).encode()) + b"." + b64(json.dumps(body).encode())
    mark = b64(hmac.new(key, text, digest).digest()) if sign is None else sign
    print(name, ok, (text + b"." + mark).decode())
make("good", ok=1)
make("scope-as-text", claims={"scope": "agent:read chat:read"}, ok=1)
make("several-audiences", claims={"aud": ["x", "descartes"]}, ok=1)
make("alg-none", header={"alg": "none"}, sign=b"")
make("alg-none-signed", header={"alg": "none"})
make("alg-None", header={"alg": "None"}, sign=b"")
make("alg-confusion", header={"alg": "RS256"})
make("alg-HS512", header={"alg": "HS512"}, digest=hashlib.sha512)
make("empty-key", key=b"")
make("wrong-key", key=secret + b"x")
make("wrong-audience", claims={"aud": "somebody"})
make("no-audience", claims={"aud": ...})
make("exp-as-text", claims={"exp": str(now + 600)})
make("exp-in-the-past", claims={"exp": now - 1})
make("no-exp", claims={"exp": ...})
make("no-iat", claims={"iat": ...})
make("iat-in-the-future", claims={"iat": now + 3600})
make("no-sub", claims={"sub": ...})
make("sub-of-the-owner", claims={"sub": "local"})
make("no-scope", claims={"scope": ...})
make("kid-path", header={"kid": "../../../../dev/null"}, key=b"")
make("kid-sql", header={"kid": "x' UNION SELECT 'y"})
make("jku", header={"jku": "http://127.0.0.1:1/keys"})
make("crit", header={"crit": ["x"], "x": 1})
make("nested", header={"cty": "JWT"})
make("one-megabyte", claims={"pad": "x" * (1 << 20)})
"#;

#[test]
fn tokens_of_others_are_read_and_every_trick_is_refused_with_the_same_words() {
    let made = Command::new("python3").arg("-c").arg(MADE_BY_PYTHON).arg(SECRET).output();
    let Ok(made) = made else { return skip("needs python3 to make tokens with") };
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let daemon = guarded();
    let mut said = Vec::new();
    let text = String::from_utf8(made.stdout).expect("text");
    for line in text.lines() {
        let mut words = line.split(' ');
        let (name, kind, token) = (words.next(), words.next(), words.next());
        let (name, kind) = (name.expect("a name"), kind.expect("a kind"));
        let token = format!("Bearer {}", token.expect("a token"));
        let reply = ask(&daemon, &[("Authorization", &token)]);
        if kind == "1" {
            assert_eq!((name, reply.status), (name, 200));
        } else {
            assert_eq!((name, reply.status), (name, 401), "{}", reply.text());
            said.push(reply.text().to_owned());
        }
    }
    assert!(said.len() > 20, "{}", said.len());
    said.dedup();
    assert_eq!(said.len(), 1, "{said:?}");
}
