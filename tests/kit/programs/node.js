// SPDX-License-Identifier: Apache-2.0
// node.js FILE: a server, its clients, timers, a worker thread and child processes; FILE as clients.py says.
const fs = require('fs'), net = require('net'), os = require('os'), cp = require('child_process');
const { Worker, isMainThread, parentPort } = require('worker_threads');
if (!isMainThread) {
	parentPort.on('message', (n) => parentPort.postMessage(n * 2));
	return;
}
const file = process.argv[2];
function note(path, text) { fs.writeFileSync(path + '.new', text); fs.renameSync(path + '.new', path); }
function wrong(text) { note(file + '.wrong', String(text)); process.exit(1); }
process.on('uncaughtException', (e) => wrong(e.stack));
const count = { net: new Array(50).fill(0), timer: 0, worker: 0, child: 0, fs: 0 };

const server = net.createServer((c) => c.on('data', (d) => c.write(d))).listen(7000, '127.0.0.1', () => {
	for (let i = 0; i < 50; i++) {
		const c = net.connect(7000, '127.0.0.1');
		let want = '';
		const send = () => c.write(want = `${i}:${count.net[i]};`);
		let got = '';
		c.on('connect', send).on('close', () => wrong('closed')).on('data', (d) => {
			got += d;
			if (got.length < want.length) return;
			if (got !== want) wrong(`${got} for ${want}`);
			got = '';
			count.net[i]++;
			setTimeout(send, 2);
		});
	}
});
setInterval(() => count.timer++, 5);
const w = new Worker(__filename);
w.on('message', (n) => { if (n !== count.worker * 2) wrong('worker'); count.worker++; setTimeout(() => w.postMessage(count.worker), 3); });
w.postMessage(0);
(function child() {
	cp.execFile('/bin/busybox', ['echo', String(count.child)], (e, out) => {
		if (e || out !== `${count.child}\n`) wrong(`child: ${e} ${out}`);
		count.child++;
		setTimeout(child, 5);
	});
})();
(function files() {
	fs.writeFile(file + '.data', String(count.fs), () => fs.readFile(file + '.data', 'utf8', (e, d) => {
		if (e || d !== String(count.fs)) wrong(`file: ${e} ${d}`);
		count.fs++;
		setTimeout(files, 2);
	}));
})();
setInterval(() => note(file, String(Math.min(...count.net, count.timer, count.worker, count.child, count.fs))), 30);
