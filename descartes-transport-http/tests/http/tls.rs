//! `https://` and `wss://`.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use descartes_rpc::{
    Swap,
    client::{Connect, Exchange},
};
use descartes_transport_http::{HttpClient, Identity, Roots, WsClient};
use futures_util::{SinkExt, StreamExt};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::{
    ClientConfig, ProtocolVersion, RootCertStore, SupportedProtocolVersion,
    crypto::ring,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::{
    fake::PATIENCE,
    server::{Server, get, post, post_with},
};

const ECHO: &str = r#"{"jsonrpc":"2.0","id":7,"method":"echo","params":[1]}"#;
const ECHOED: &str = r#"{"jsonrpc":"2.0","id":7,"result":[1]}"#;
const SUBSCRIBE: &str =
    r#"{"jsonrpc":"2.0","id":5,"method":"event.subscribe","params":{"topics":["agent/a"]}}"#;

/// A certificate for this machine, as PEM, with its key.
struct Made {
    certificate: String,
    identity: Identity,
}

fn made() -> Made {
    let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(names).unwrap();
    let (certificate, key) = (cert.pem(), signing_key.serialize_pem());
    let identity = Identity::from_pem(certificate.as_bytes(), key.as_bytes()).unwrap();
    Made { certificate, identity }
}

impl Made {
    fn roots(&self) -> Roots {
        Roots::from_pem(self.certificate.as_bytes()).unwrap()
    }
}

async fn serve(shown: &Swap<Identity>) -> Server {
    let shown = shown.clone();
    Server::start_with(|config| config.tls = Some(shown)).await
}

fn client(server: &Server, made: &Made) -> HttpClient {
    let url = format!("https://{}", server.address);
    HttpClient::new(&url).unwrap().trusting(made.roots())
}

async fn echo(client: &HttpClient) -> io::Result<Bytes> {
    timeout(PATIENCE, client.exchange(Bytes::from_static(ECHO.as_bytes()))).await.unwrap()
}

/// A client of somebody else.
async fn shake_hands(
    address: SocketAddr,
    made: &Made,
    versions: &[&'static SupportedProtocolVersion],
    alpn: &[&str],
) -> io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(made.certificate.as_bytes()).unwrap()).unwrap();
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder.with_protocol_versions(versions).unwrap();
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    let stream = TcpStream::connect(address).await?;
    let name = ServerName::try_from("localhost").unwrap();
    let shaken = TlsConnector::from(Arc::new(config)).connect(name, stream);
    timeout(PATIENCE, shaken).await.unwrap()
}

#[tokio::test]
async fn calls_streams_and_websockets_go_over_it() {
    let made = made();
    let server = serve(&Swap::new(made.identity.clone())).await;
    let client = client(&server, &made);
    for _ in 0..3 {
        assert_eq!(echo(&client).await.unwrap(), ECHOED);
    }
    let large = Bytes::from_static(br#"{"jsonrpc":"2.0","id":1,"method":"large"}"#);
    assert!(client.exchange(large).await.unwrap().len() > 8 << 20);
    let mut messages = client.stream(Bytes::from_static(SUBSCRIBE.as_bytes())).await.unwrap();
    let first = messages.next().await.unwrap().unwrap();
    assert!(String::from_utf8_lossy(&first).contains(r#""id":5"#));

    let url = format!("wss://localhost:{}/ws", server.address.port());
    let socket = WsClient::new(&url).unwrap().trusting(made.roots());
    let mut socket = socket.connect().await.unwrap();
    socket.send(Bytes::from_static(ECHO.as_bytes())).await.unwrap();
    assert_eq!(socket.next().await.unwrap().unwrap(), ECHOED);
    let stopped = tokio::spawn(server.stop());
    assert!(socket.next().await.is_none(), "the server says farewell");
    stopped.await.unwrap();
}

#[tokio::test]
async fn both_versions_are_spoken_and_http_1_inside() {
    let made = made();
    let server = serve(&Swap::new(made.identity.clone())).await;
    for (version, spoken) in [
        (&rustls::version::TLS12, ProtocolVersion::TLSv1_2),
        (&rustls::version::TLS13, ProtocolVersion::TLSv1_3),
    ] {
        for alpn in [&[][..], &["h2", "http/1.1"]] {
            let mut talk = shake_hands(server.address, &made, &[version], alpn).await.unwrap();
            let session = talk.get_ref().1;
            assert_eq!(session.protocol_version(), Some(spoken));
            let chosen = session.alpn_protocol().map(<[u8]>::to_vec);
            assert_eq!(chosen, (!alpn.is_empty()).then(|| b"http/1.1".to_vec()));
            let close = post_with("Connection: close\r\n", ECHO);
            talk.write_all(close.as_bytes()).await.unwrap();
            let mut answer = String::new();
            // An end without a farewell would be an error.
            timeout(PATIENCE, talk.read_to_string(&mut answer)).await.unwrap().unwrap();
            assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with(ECHOED), "{answer}");
        }
        assert!(shake_hands(server.address, &made, &[version], &["h2"]).await.is_err());
    }
    server.stop().await;
}

#[tokio::test]
async fn another_certificate_is_shown_to_those_that_come_and_nobody_is_cut_off() {
    let (old, new) = (made(), made());
    let shown = Swap::new(old.identity.clone());
    let server = serve(&shown).await;
    let before = client(&server, &old);
    assert_eq!(echo(&before).await.unwrap(), ECHOED);
    let call = r#"{"jsonrpc":"2.0","id":1,"method":"held"}"#;
    let held = tokio::spawn({
        let before = client(&server, &old);
        async move { before.exchange(Bytes::from_static(call.as_bytes())).await }
    });
    drop(server.stage.begun.acquire().await);

    shown.store(new.identity.clone());
    assert_eq!(echo(&client(&server, &new)).await.unwrap(), ECHOED);
    let error = echo(&client(&server, &old)).await.unwrap_err();
    assert!(error.to_string().contains("certificate"), "{error}");
    // On the connection that it has kept.
    assert_eq!(echo(&before).await.unwrap(), ECHOED);
    server.stage.release.add_permits(1);
    assert!(String::from_utf8_lossy(&held.await.unwrap().unwrap()).contains("released"));
    server.stop().await;
}

#[tokio::test]
async fn who_speaks_plain_http_is_told_and_rubbish_ends() {
    let made = made();
    let server = serve(&Swap::new(made.identity.clone())).await;
    for request in [get("/health"), post(ECHO), post(&"x".repeat(1 << 20))] {
        let mut talk = server.connect().await;
        talk.send_anyway(&request).await;
        let answer = talk.answer().await;
        assert_eq!((answer.status, answer.code()), (400, Some(-32600)));
        assert!(answer.body.contains("https://"), "{}", answer.body);
        assert_eq!(answer.field("connection"), Some("close"));
    }
    for rubbish in [&b"\x00\x01\x02\x03\x04\x05\x06\x07"[..], b"\x16\x03\x01\x00\x02hi", b"hello"] {
        let mut talk = server.connect().await;
        talk.send_anyway(rubbish).await;
        talk.0.shutdown().await.unwrap();
        let mut rest = Vec::new();
        drop(timeout(PATIENCE, talk.0.read_to_end(&mut rest)).await.unwrap());
        assert!(!rest.starts_with(b"HTTP"), "{rest:?}");
    }
    assert_eq!(echo(&client(&server, &made)).await.unwrap(), ECHOED);
    server.stop().await;
}

#[tokio::test]
async fn hands_are_shaken_in_time_and_who_does_not_gives_way() {
    let made = made();
    let shown = Swap::new(made.identity.clone());
    let mut server = Server::start_with(|config| {
        config.tls = Some(shown);
        config.options.limits.newcomers = 2;
    })
    .await;
    let mut silent = vec![server.connect().await, server.connect().await];
    // Half a hello.
    silent[1].send(b"\x16\x03\x01\x02\x00\x01").await;
    silent.push(server.connect().await);
    assert_eq!(silent.remove(0).rest().await, "", "the oldest has given way");
    let settled = client(&server, &made);
    assert_eq!(echo(&settled).await.unwrap(), ECHOED);
    // Who has asked for nothing does not keep a server from its end.
    server.begin_stop();
    server.stop().await;
    for talk in &mut silent {
        assert_eq!(talk.rest().await, "");
    }

    let shown = Swap::new(made.identity.clone());
    let server = Server::start_with(|config| {
        config.tls = Some(shown);
        config.options.limits.header_deadline = Duration::from_millis(50);
    })
    .await;
    for begun in [&b""[..], b"\x16\x03\x01\x02\x00\x01"] {
        let mut late = server.connect().await;
        late.send(begun).await;
        assert_eq!(late.rest().await, "");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_client_believes_nobody_by_itself() {
    let (made, other) = (made(), made());
    let server = serve(&Swap::new(made.identity.clone())).await;
    let url = format!("https://{}", server.address);
    let error = echo(&HttpClient::new(&url).unwrap()).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    assert!(echo(&client(&server, &other)).await.is_err());
    // A name that is not in the certificate.
    let elsewhere = format!("https://127.0.0.2:{}", server.address.port());
    let elsewhere = HttpClient::new(&elsewhere).unwrap().trusting(made.roots());
    assert!(echo(&elsewhere).await.is_err());
    server.stop().await;
}

#[tokio::test]
async fn a_page_that_came_without_it_is_foreign() {
    let made = made();
    let server = serve(&Swap::new(made.identity.clone())).await;
    for (origin, status) in [("https://localhost", "200"), ("http://localhost", "403")] {
        let versions = [&rustls::version::TLS13];
        let mut talk = shake_hands(server.address, &made, &versions, &[]).await.unwrap();
        let fields = format!("Origin: {origin}\r\nConnection: close\r\n");
        talk.write_all(post_with(&fields, ECHO).as_bytes()).await.unwrap();
        let mut answer = String::new();
        timeout(PATIENCE, talk.read_to_string(&mut answer)).await.unwrap().unwrap();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{origin}: {answer}");
    }
    server.stop().await;
}
