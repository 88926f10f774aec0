//! JSON-RPC in MessagePack, byte by byte.

use serde_json::{Value, json};

use crate::{node::Node, server::Server};

pub(crate) fn map(members: &[(&str, Node)]) -> Vec<u8> {
    let members = members.iter().map(|(name, value)| ((*name).to_owned(), value.clone()));
    rmp_serde::to_vec(&Node::Map(members.collect())).unwrap()
}

pub(crate) fn text(text: &str) -> Node {
    Node::Text(text.to_owned())
}

fn echo(id: Node, params: Node) -> Vec<u8> {
    map(&[("jsonrpc", text("2.0")), ("id", id), ("method", text("echo")), ("params", params)])
}

#[tokio::test]
async fn identifiers_and_numbers_come_back_as_they_went() {
    let server = Server::start().await;
    let mut talk = server.dealer().await;
    for id in [
        Node::Unsigned(0),
        Node::Unsigned(u64::MAX),
        Node::Signed(i64::MIN),
        Node::Signed(-1),
        text(""),
        text("größe 🦀\n\u{0}\""),
        Node::Null,
    ] {
        let params = Node::Array(vec![
            Node::Unsigned(u64::MAX),
            Node::Signed(i64::MIN),
            Node::Float(0.1),
            Node::Float(2.0),
            Node::Null,
            Node::Map(vec![("a".to_owned(), Node::Bool(true))]),
        ]);
        talk.send(&[&echo(id.clone(), params.clone())]).await;
        let frames = talk.frames().await.unwrap();
        let answer: Node = rmp_serde::from_slice(&frames[0]).unwrap();
        let Node::Map(answer) = answer else { panic!("{answer:?}") };
        assert!(answer.contains(&("id".to_owned(), id)), "{answer:?}");
        assert!(answer.contains(&("result".to_owned(), params)), "{answer:?}");
    }
    server.stop().await;
}

#[tokio::test]
async fn numbers_beyond_64_bits_come_back_as_the_extension_that_they_were() {
    let server = Server::start().await;
    let mut talk = server.dealer().await;
    // [1e400, 123456789012345678901234567890], as params and then as the result.
    let numbers = b"\x92\xc7\x05N1e400\xc7\x1eN123456789012345678901234567890";
    let head = b"\x84\xa7jsonrpc\xa32.0\xa2id\xc7\x14N18446744073709551616\xa6method\xa4echo";
    talk.send(&[&[&head[..], b"\xa6params", numbers].concat()]).await;
    let answer = talk.frames().await.unwrap().remove(0);
    for expected in [&b"\xa2id\xc7\x14N18446744073709551616"[..], numbers] {
        assert!(answer.windows(expected.len()).any(|part| part == expected), "{answer:?}");
    }
    server.stop().await;
}

#[tokio::test]
async fn what_json_cannot_say_is_refused_with_its_place() {
    let server = Server::start().await;
    let mut talk = server.dealer().await;
    for value in [&b"\xcb\x7f\xf8\0\0\0\0\0\0"[..], b"\xca\x7f\x80\0\0", b"\xd6\xff\0\0\0\0"] {
        let message = [b"\x82\xa2id\x01\xa6params\x81\xa5value\x93\x01\x02", value].concat();
        talk.send(&[&message]).await;
        let answer = Node::unpack(&talk.frames().await.unwrap()[0]);
        let answer: Value = serde_json::from_slice(&answer).unwrap();
        assert_eq!(answer["error"]["code"], -32700, "{answer}");
        assert_eq!(answer["error"]["data"]["path"], "params.value[2]", "{answer}");
    }
    server.stop().await;
}

#[tokio::test]
async fn bytes_are_taken_as_base64() {
    let server = Server::start().await;
    let mut talk = server.dealer().await;
    let params = Node::Array(vec![Node::Bytes(vec![0xff, 0, 1])]);
    talk.send(&[&echo(Node::Unsigned(1), params)]).await;
    let answer: Value =
        serde_json::from_slice(&Node::unpack(&talk.frames().await.unwrap()[0])).unwrap();
    assert_eq!(answer["result"], json!(["/wAB"]));
    server.stop().await;
}

#[tokio::test]
async fn what_is_wrong_is_answered_in_messagepack() {
    let server = Server::start().await;
    let mut talk = server.dealer().await;
    let whole = echo(Node::Unsigned(1), Node::Array(vec![]));
    let id = || ("id", Node::Unsigned(1));
    let deep = [&b"\x81\xa6params"[..], &[0x91; 100_000], b"\x90"].concat();
    for (message, code, answered) in [
        (whole[..whole.len() - 1].to_vec(), -32700, json!(null)),
        ([&whole[..], b"\x01"].concat(), -32700, json!(null)),
        (b"\x81\x01\x02".to_vec(), -32700, json!(null)),
        (b"\x81\xa1a\xd4\x01\x02".to_vec(), -32700, json!(null)),
        (b"\x81\xa1\xff\x02".to_vec(), -32700, json!(null)),
        (b"\xdf\xff\xff\xff\xff".to_vec(), -32700, json!(null)),
        (b"\xdd\xff\xff\xff\xff\x01".to_vec(), -32700, json!(null)),
        (b"\x90".to_vec(), -32600, json!(null)),
        (b"\x80".to_vec(), -32600, json!(null)),
        (deep, -32600, json!(null)),
        (
            map(&[id(), id(), ("jsonrpc", text("2.0")), ("method", text("echo"))]),
            -32600,
            json!(null),
        ),
        (map(&[id(), ("jsonrpc", text("1.0")), ("method", text("echo"))]), -32600, json!(1)),
        (map(&[id(), ("jsonrpc", text("2.0")), ("method", text("none"))]), -32601, json!(1)),
        (vec![0x91; 1 << 20], -32600, json!(null)),
        ([&b"\xdd\x00\x20\x00\x00"[..], &[0xc0; 2 << 20]].concat(), -32011, json!(null)),
        ([&b"\xdd\x00\x0f\x00\x00"[..], &[0xc0; 0xf_0000]].concat(), -32011, json!(null)),
    ] {
        talk.send(&[&message]).await;
        let frames = talk.frames().await.unwrap();
        let answer: Value = serde_json::from_slice(&Node::unpack(&frames[0])).unwrap();
        let head = &message[..message.len().min(20)];
        assert_eq!(answer["error"]["code"], code, "{head:x?}: {answer}");
        assert_eq!(answer["id"], answered, "{head:x?}: {answer}");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_batch_in_messagepack_is_answered_as_one() {
    let server = Server::start().await;
    let mut talk = server.dealer().await;
    let call =
        |id| rmp_serde::from_slice::<Node>(&echo(Node::Unsigned(id), Node::Array(vec![]))).unwrap();
    let batch = Node::Array(vec![call(1), call(2), Node::Unsigned(7)]);
    talk.send(&[b"", &rmp_serde::to_vec(&batch).unwrap()]).await;
    let frames = talk.frames().await.unwrap();
    assert_eq!(frames[0], "");
    let answers: Value = serde_json::from_slice(&Node::unpack(&frames[1])).unwrap();
    assert_eq!(answers.as_array().unwrap().len(), 3, "{answers}");
    server.stop().await;
}
