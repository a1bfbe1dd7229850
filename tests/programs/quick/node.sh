#!/bin/bash
# node: start, files, an HTTP server with its clients, worker threads, child processes.
. "$(dirname "$0")/../lib.sh"

for _ in 1 2; do node -e 'require("http"); require("fs").readdirSync("/usr/bin").length'; done
cat >all.js <<'J'
const http = require("http"), fs = require("fs"), assert = require("assert"), zlib = require("zlib");
const { Worker, isMainThread, parentPort } = require("worker_threads");
const { execFile, fork } = require("child_process");
if (!isMainThread) {
  parentPort.on("message", (n) => { parentPort.postMessage(n * n); });
} else if (process.argv[2] === "child") {
  process.on("message", (m) => { process.send(m + 1); process.disconnect(); });
} else {
  const server = http.createServer((req, res) => req.pipe(res)).listen(0, async () => {
    const ask = (text) => new Promise((done, bad) => {
      const req = http.request({ port: server.address().port, method: "POST" }, (res) => {
        let got = ""; res.on("data", (d) => { got += d; }).on("end", () => done(got));
      }).on("error", bad);
      req.end(text);
    });
    const texts = [...Array(50).keys()].map((n) => `${n}`.repeat(1000));
    assert.deepStrictEqual(await Promise.all(texts.map(ask)), texts);
    server.close();
    const worker = new Worker(__filename);
    assert.strictEqual(await new Promise((done) => { worker.once("message", done); worker.postMessage(12); }), 144);
    await worker.terminate();
    const child = fork(__filename, ["child"]);
    assert.strictEqual(await new Promise((done) => { child.once("message", done); child.send(41); }), 42);
    const data = await fs.promises.readFile("/usr/bin/node");
    assert(zlib.gunzipSync(zlib.gzipSync(data.subarray(0, 1 << 20))).equals(data.subarray(0, 1 << 20)));
    execFile("/bin/echo", ["done"], (e, out) => { process.stdout.write(out); });
  });
}
J
is answer "$(node all.js)" "done"
