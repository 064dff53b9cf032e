// SPDX-License-Identifier: Apache-2.0
// many FILE: goroutines on sockets (epoll), timers, signals, locked threads, children; FILE as clients.py says.
package main

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

var file = os.Args[1]

func note(path, text string) {
	os.WriteFile(path+".new", []byte(text), 0644)
	os.Rename(path+".new", path)
}

func wrong(format string, args ...interface{}) {
	note(file+".wrong", fmt.Sprintf(format, args...))
	os.Exit(1)
}

var counts []*int64

func steps(pause time.Duration, lock bool, step func(n int64) error) {
	c := new(int64)
	counts = append(counts, c)
	go func() {
		if lock {
			runtime.LockOSThread()
		}
		for {
			if err := step(atomic.LoadInt64(c)); err != nil {
				wrong("%v", err)
			}
			atomic.AddInt64(c, 1)
			time.Sleep(pause)
		}
	}()
}

func serve(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			wrong("accept: %v", err)
		}
		go func() {
			for r := bufio.NewReader(c); ; {
				line, err := r.ReadString('\n')
				if err != nil {
					wrong("server: %v", err)
				}
				c.Write([]byte(strings.ToUpper(line)))
			}
		}()
	}
}

func main() {
	l, err := net.Listen("tcp", "127.0.0.1:7002")
	if err != nil {
		wrong("%v", err)
	}
	go serve(l)
	for i := 0; i < 200; i++ {
		i := i
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			wrong("%v", err)
		}
		r := bufio.NewReader(c)
		steps(5*time.Millisecond, false, func(n int64) error {
			fmt.Fprintf(c, "a%d-%d\n", i, n)
			line, err := r.ReadString('\n')
			if err == nil && line != fmt.Sprintf("A%d-%d\n", i, n) {
				err = fmt.Errorf("socket: %q", line)
			}
			return err
		})
	}
	for i := 0; i < 50; i++ {
		tid := -1
		steps(10*time.Millisecond, true, func(n int64) error { // a thread of its own
			if tid < 0 {
				tid = syscall.Gettid()
			}
			if t := syscall.Gettid(); t != tid {
				return fmt.Errorf("thread %d became %d", tid, t)
			}
			return nil
		})
	}
	usr := make(chan os.Signal, 100)
	signal.Notify(usr, syscall.SIGUSR1)
	steps(time.Millisecond, false, func(n int64) error {
		syscall.Kill(syscall.Getpid(), syscall.SIGUSR1)
		<-usr
		return nil
	})
	tick := time.NewTicker(3 * time.Millisecond)
	steps(0, false, func(n int64) error { <-tick.C; return nil })
	steps(5*time.Millisecond, false, func(n int64) error {
		out, err := exec.Command("/bin/busybox", "echo", fmt.Sprint(n)).Output()
		if err == nil && string(out) != fmt.Sprintln(n) {
			err = fmt.Errorf("child: %q", out)
		}
		return err
	})
	steps(time.Millisecond, false, func(n int64) error { // garbage
		b := make([]byte, 1<<20)
		b[n%1000] = 1
		return nil
	})
	for {
		min := int64(1 << 60)
		for _, c := range counts {
			if n := atomic.LoadInt64(c); n < min {
				min = n
			}
		}
		note(file, fmt.Sprint(min))
		time.Sleep(30 * time.Millisecond)
	}
}
