// What both pages share: where the daemon is, and how they tell what held.

const query = new URLSearchParams(location.search);
const daemon = query.get("daemon");
const sockets = query.getAll("socket");

const report = (what) => fetch("/report", { method: "POST", body: JSON.stringify(what) });

function same(seen, expected) {
  const [one, other] = [seen, expected].map((value) => JSON.stringify(value));
  if (one !== other) throw new Error(`seen ${one}, expected ${other}`);
}

function needSockets() {
  if (sockets.length === 0) throw "skipped: this daemon has no WebSocket";
}

async function judge(claims) {
  // Everything of the page is there before the first claim.
  await new Promise((done) => addEventListener("load", done));
  for (const [claim, hold] of Object.entries(claims)) {
    const failed = await hold().then(() => null, (error) => `${error.stack ?? error}`);
    await report({ claim, failed });
  }
  await report({ done: true });
}
