//! Whoever connects to it, connects as it: to the daemon the other end is this process.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::thread;

use crate::output;

/// One end of a connection.
trait End: Read + Write + Send + Sized + 'static {
    fn twin(&self) -> io::Result<Self>;
    fn finish(&self) -> io::Result<()>;
}

impl End for TcpStream {
    fn twin(&self) -> io::Result<Self> {
        self.try_clone()
    }

    fn finish(&self) -> io::Result<()> {
        self.shutdown(Shutdown::Write)
    }
}

impl End for UnixStream {
    fn twin(&self) -> io::Result<Self> {
        self.try_clone()
    }

    fn finish(&self) -> io::Result<()> {
        self.shutdown(Shutdown::Write)
    }
}

/// Passes on what comes to ports of its own, one for each of `places` (addresses, and paths of Unix
/// sockets), whose numbers it says in one line.
pub(crate) fn forward(places: &str) -> io::Result<()> {
    let mut ports = Vec::new();
    for place in places.split(',') {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        ports.push(listener.local_addr()?.port().to_string());
        let place = place.to_owned();
        thread::spawn(move || serve(&listener, &place));
    }
    output::stdout(format!("{}\n", ports.join(" ")).as_bytes())
}

fn serve(listener: &TcpListener, place: &str) {
    for near in listener.incoming().flatten() {
        // A place that refuses is a connection that ends.
        drop(if place.starts_with('/') {
            UnixStream::connect(place).and_then(|far| join(near, far))
        } else {
            TcpStream::connect(place).and_then(|far| join(near, far))
        });
    }
}

fn join(near: TcpStream, far: impl End) -> io::Result<()> {
    near.set_nodelay(true)?;
    let (near_twin, far_twin) = (near.twin()?, far.twin()?);
    thread::spawn(move || pass(near, far_twin));
    thread::spawn(move || pass(far, near_twin));
    Ok(())
}

fn pass(mut from: impl End, mut to: impl End) {
    drop(io::copy(&mut from, &mut to));
    drop(to.finish());
}
