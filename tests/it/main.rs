//! The outermost ring: the real programs, seen from outside.
//!
//! One binary; each module shows one thing. How often the torture tests repeat is
//! `DESCARTES_TORTURE` (1.0 is the full count, 0.05 without it).

/// It ends when it is asked, at any moment of its start.
mod asked;
/// The guides are a book: every page is in it, every link leads somewhere, and what it says is so.
mod book;
/// Chats with the bundled agent: turns, questions, ends.
mod chat;
/// `descartes`, the command line: what it prints and how it exits.
mod command;
/// The suite that every transport passes, over HTTP, WebSocket, Unix and ZeroMQ to the real daemon.
mod conformance;
/// The other verbs on agents: restart, pause, signal, write, batch, list, remove, state, limits.
mod control;
/// What the agents of one principal may cost in a day.
mod cost;
/// Keys and tokens: who gets in with them, who does not, and when that ends.
mod credentials;
/// A crowd of agents that print now and then costs little.
mod crowd;
/// A store with changed bytes: never a wrong answer, and what a repair keeps.
mod damage;
/// A stop in the middle of everything: all are answered, told how far they got, and nothing is lost.
mod drain;
/// Every example runs as it stands.
mod examples;
/// No descriptor is left: control works to its full effect, nothing spins, and it passes.
mod exhausted;
/// A full disk: nothing acknowledged is lost, control works, and it passes.
mod full;
/// Sockets that somebody else has opened for the daemon.
mod given;
/// Peers that mean no good are cut, leave nothing behind, and nobody else notices.
mod hostile;
/// The rules of the house: sizes, names, arrows, weight.
mod house;
/// Thousands that are connected and say nothing cost little, and nobody else anything.
mod idle;
/// Killing is complete: when the answer comes, nothing of the tree lives.
mod kill;
/// Logs: whose every line is, and files that are put aside, moved away or full.
mod logging;
/// Every method for everybody by every door: what the contract says, and nothing else.
mod matrix;
/// The page of numbers: as Prometheus reads it, and equal to what was done.
mod metrics;
/// Output is exact, byte for byte, from everywhere.
mod output;
/// A page of a stranger, in the browser of the daemon's own user: no port serves it.
mod pages;
/// A client that nobody here wrote: jsonrpsee over HTTP and WebSocket.
mod peer;
/// What is said on the wire, to the letter, over HTTP and over the Unix socket.
mod protocol;
/// Every command of the README is run, and gives what it shows.
mod readme;
/// Typed clients follow printing agents while connections break and daemons die.
mod reconnect;
/// Conversations are recorded, and played again to the same chunks.
mod recorded;
/// Another configuration is read while the daemon runs: all of it or nothing.
mod reload;
/// A reader that is cut off comes back with its cursor and sees exactly the rest.
mod resume;
/// What the tests stand on: daemons to start and end, plain clients, a look at processes.
mod rig;
/// Routes of their own: each method under its path, logs as bytes, events as `EventSource` has them.
mod routes;
/// The same idempotency key is the same deed: at once, later, after a restart.
mod same_key;
/// A canary in every place where a secret is given is found in none where it does not belong.
mod secrets;
/// Many clients over different transports follow and control one agent.
mod sessions;
/// A subscriber that never reads costs nobody else anything.
mod slow;
/// Starting an agent: what runs, in which surroundings, and why it could not.
mod spawn;
/// The daemon's own life: where it listens, when it refuses, how it ends.
mod start;
/// The store from outside: copied by the command line beside a daemon; one daemon has it.
mod store;
/// Agents that nobody knows by name: any that speaks ACP, any that speaks lines.
mod strange_agents;
/// A process of another user gets nothing from any port or socket.
mod strangers;
/// `kill -9` of the daemon: what was acknowledged is there, cursors go on.
mod survive;
/// `https://` and `wss://`: certificates from files, read anew while the daemon serves.
mod tls;
/// `descartes top` in a terminal: what is shown, and that the terminal is given back.
mod top;
/// The trace of a caller goes on to the programs that are started for it.
mod trace;
/// Waiting for an end: with a limit, until cancelled, whoever holds the pipe.
mod wait;
/// ZeroMQ: known attacks, who subscribes, who never reads, batches, clients whose daemon is away.
mod zeromq;
