// SPDX-License-Identifier: Apache-2.0
// Many.java FILE: threads, timers, a pool, garbage, sockets; FILE as clients.py says.
import java.io.*;
import java.net.*;
import java.nio.file.*;
import java.util.*;
import java.util.concurrent.*;
import java.util.concurrent.atomic.*;

public class Many {
	static String file;

	static void note(String path, String text) throws IOException {
		Path p = Paths.get(path), tmp = Paths.get(path + ".new");
		Files.writeString(tmp, text);
		Files.move(tmp, p, StandardCopyOption.ATOMIC_MOVE);
	}

	static void wrong(String text) {
		try {
			note(file + ".wrong", text);
		} catch (IOException e) {
		}
		Runtime.getRuntime().halt(1);
	}

	interface Step {
		void run(long n) throws Exception;
	}

	static AtomicLong thread(int pause, Step step) {
		AtomicLong count = new AtomicLong();
		Thread t = new Thread(() -> {
			try {
				for (;; Thread.sleep(pause)) {
					step.run(count.get());
					count.incrementAndGet();
				}
			} catch (Throwable e) {
				wrong(e.toString());
			}
		});
		t.start();
		return count;
	}

	public static void main(String[] args) throws Exception {
		file = args[0];
		List<AtomicLong> counts = new ArrayList<>();
		AtomicLong ticks = new AtomicLong(), scheduled = new AtomicLong();
		counts.add(ticks);
		counts.add(scheduled);
		new Timer().schedule(new TimerTask() {
			public void run() { ticks.incrementAndGet(); }
		}, 0, 5);
		ScheduledExecutorService ex = Executors.newScheduledThreadPool(4);
		ex.scheduleAtFixedRate(scheduled::incrementAndGet, 0, 3, TimeUnit.MILLISECONDS);
		ServerSocket server = new ServerSocket(7001, 50, InetAddress.getLoopbackAddress());
		thread(0, n -> {
			Socket s = server.accept();
			thread(0, k -> {
				int c = s.getInputStream().read();
				s.getOutputStream().write(c + 1);
			});
		});
		for (int i = 0; i < 20; i++) {
			Socket s = new Socket(InetAddress.getLoopbackAddress(), 7001);
			counts.add(thread(2, n -> {
				s.getOutputStream().write((int) (n % 200));
				if (s.getInputStream().read() != n % 200 + 1)
					throw new Exception("socket");
			}));
		}
		BlockingQueue<Long> q = new LinkedBlockingQueue<>();
		thread(1, q::put);
		counts.add(thread(0, n -> {
			if (q.take() != n)
				throw new Exception("queue");
		}));
		Map<Long, byte[]> heap = new HashMap<>();
		counts.add(thread(1, n -> { // garbage, so that collections move things
			heap.put(n, new byte[20000]);
			heap.get(n)[7] = (byte) n;
			if (n > 500 && heap.remove(n - 500)[7] != (byte) (n - 500))
				throw new Exception("heap");
		}));
		for (;; Thread.sleep(30))
			note(file, Long.toString(counts.stream().mapToLong(AtomicLong::get).min().getAsLong()));
	}
}
