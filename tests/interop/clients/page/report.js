// What both pages share: where the daemon is, and how they tell what held.

const daemon = new URLSearchParams(location.search).get("daemon");

const report = (what) => fetch("/report", { method: "POST", body: JSON.stringify(what) });

function same(seen, expected) {
  const [one, other] = [seen, expected].map((value) => JSON.stringify(value));
  if (one !== other) throw new Error(`seen ${one}, expected ${other}`);
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
