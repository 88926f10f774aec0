use rcgen::{CertificateParams, CertifiedKey, KeyPair, date_time_ymd, generate_simple_self_signed};

use super::*;

fn made() -> (String, String) {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    (cert.pem(), signing_key.serialize_pem())
}

fn read(certificate: &str, key: &str) -> Result<Identity, IdentityError> {
    Identity::from_pem(certificate.as_bytes(), key.as_bytes())
}

#[test]
fn a_pair_is_taken_and_known_again() {
    let (certificate, key) = made();
    let identity = read(&certificate, &key).unwrap();
    assert_eq!(identity, read(&certificate, &key).unwrap());
    let (certificate, key) = made();
    assert_ne!(identity, read(&certificate, &key).unwrap());
    assert_eq!(identity.out_of_date(), None);
    assert!(Roots::from_pem(certificate.as_bytes()).is_ok());
}

#[test]
fn what_is_no_pair_is_refused_by_the_side_that_is_at_fault() {
    let ((certificate, key), (_, another)) = (made(), made());
    let cut = |text: &str| text[..text.len() / 2].to_owned();
    let garbled = |text: &str| text.replace("\nM", "\n!");
    assert_eq!(read(&certificate, &another), Err(IdentityError::Mismatch));
    for broken in [String::new(), "hello".to_owned(), key.clone(), cut(&certificate)] {
        let error = read(&broken, &key).unwrap_err();
        assert!(matches!(error, IdentityError::Certificate(_)), "{broken}: {error}");
        assert!(Roots::from_pem(broken.as_bytes()).is_err());
    }
    let protected = key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
    let empty = "-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----\n".to_owned();
    for broken in [String::new(), certificate.clone(), cut(&key), garbled(&key), protected, empty] {
        let error = read(&certificate, &broken).unwrap_err();
        assert!(matches!(error, IdentityError::Key(_)), "{broken}: {error}");
        let told = error.to_string();
        let line = key.lines().nth(1).unwrap();
        assert!(!told.contains(line), "the key is told: {told}");
    }
}

#[test]
fn a_certificate_of_another_time_is_known_as_one() {
    for (from, until, told) in
        [(1990, 1999, Some("it has expired")), (2999, 3000, Some("it is not valid yet"))]
    {
        let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
        params.not_before = date_time_ymd(from, 1, 1);
        params.not_after = date_time_ymd(until, 1, 1);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        let identity = read(&certificate.pem(), &key.serialize_pem()).unwrap();
        assert_eq!(identity.out_of_date(), told);
    }
}
