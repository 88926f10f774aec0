//! The floor of an event stream: one write of bytes that are ready, to each client.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc;
use std::time::Instant;

use super::Bursts;

const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n";

pub(super) fn serve(bursts: Bursts, frame: usize) -> anyhow::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    super::listening(listener.local_addr()?)?;
    let (sender, clients) = mpsc::sync_channel(16);
    std::thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            let mut request = [0; 1024];
            let begun = stream.read(&mut request).and_then(|_| stream.write_all(HEAD));
            if begun.is_ok() && sender.send(stream).is_err() {
                return;
            }
        }
    });
    std::thread::spawn(move || publish(bursts, frame, &clients));
    super::until_input_ends();
    Ok(())
}

fn publish(bursts: Bursts, frame: usize, clients: &mpsc::Receiver<TcpStream>) {
    let head = "id: ";
    let filler = "x".repeat(frame.saturating_sub(head.len() + 2));
    let block = format!("{head}{filler}\n\n").repeat(bursts.burst);
    let mut open: Vec<TcpStream> = Vec::new();
    let mut due = Instant::now();
    loop {
        due = (due + bursts.every()).max(Instant::now());
        // Waits for the next burst, or for a client, which may come any time.
        while let Some(left) = due.checked_duration_since(Instant::now()) {
            match clients.recv_timeout(left) {
                Ok(client) => open.push(client),
                Err(mpsc::RecvTimeoutError::Timeout) => break,
                Err(mpsc::RecvTimeoutError::Disconnected) => return,
            }
        }
        open.retain_mut(|client| client.write_all(block.as_bytes()).is_ok());
    }
}
