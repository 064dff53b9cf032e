#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Shows: fd/bpf
# What the kernel gives no way to save is refused by preflight: which object, why, and what to do.
load ../kit/helper

setup() { IMG=$(mktemp -d); mkdir "$IMG/img"; PID=; }
teardown() { [ -z "$PID" ] || kill -9 "$PID" 2>/dev/null || true; rm -rf "$IMG"; }

refused() { # refused WHAT TEXT
	"$BUILD/tests/kit/hopeless" "$1" "$IMG/ready" </dev/null >/dev/null 2>&1 3>&- &
	PID=$!
	until_true eval 'test -e "$IMG/ready" || ! kill -0 "$PID" 2>/dev/null'
	[ -e "$IMG/ready" ] || { PID=; skip "this kernel has none"; }
	run dump
	[ "$status" -ne 0 ]
	[[ "$output" == *"$2"* ]] || { echo "$output" >&2; return 1; }
	[ -z "$(ls "$IMG/img")" ] # nothing was stopped, nothing written
	kill -0 "$PID"
}

@test "memfd_secret, only mapped" { refused secret "of which no task has a descriptor"; }
@test "a perf event" { refused perf "end the measurement first"; }
@test "a BPF map of another sort" { refused bpf-map "whose contents the kernel does not give back"; }

# machine code, as no compiler for it may be here: pause(), for ever
elf() { # elf FILE CLASS MACHINE
	local h='\x7fELF'$2'\x01\x01\0\0\0\0\0\0\0\0\0\x02\0'$3'\0\x01\0\0\0\x54\x80\x04\x08\x34\0\0\0\0\0\0\0\0\0\0\0\x34\0\x20\0\x01\0\0\0\0\0\0\0'
	local p='\x01\0\0\0\0\0\0\0\0\x80\x04\x08\0\x80\x04\x08\x5d\0\0\0\x5d\0\0\0\x05\0\0\0\0\x10\0\0'
	printf "$h$p"'\xb8\x1d\0\0\0\xcd\x80\xeb\xf7' > "$1"
	chmod +x "$1"
}
@test "a program for i386" {
	elf "$IMG/prog" '\x01' '\x03'
	"$IMG/prog" </dev/null >/dev/null 2>&1 3>&- &
	PID=$!
	runs() { [ "$(readlink "/proc/$PID/exe")" = "$IMG/prog" ]; }
	until_true runs || skip "this kernel runs none"
	run dump
	[ "$status" -ne 0 ]
	[[ "$output" == *"runs a program for 32-bit machines, which cannot be checkpointed"* ]] || { echo "$output" >&2; return 1; }
	[ -z "$(ls "$IMG/img")" ]
	kill -0 "$PID"
}
@test "a thread that is in 32-bit code when it is stopped" {
	"$BUILD/tests/kit/hopeless" compat "$IMG/ready" </dev/null >/dev/null 2>&1 3>&- &
	PID=$!
	until_true test -e "$IMG/ready"
	busy() { [ "$(cut -d' ' -f14 "/proc/$PID/stat")" -gt "$1" ]; }
	until_true busy 10
	run dump
	[ "$status" -ne 0 ]
	[[ "$output" == *"runs 32-bit code, which cannot be checkpointed"* ]] || { echo "$output" >&2; return 1; }
	until_true busy "$(($(cut -d' ' -f14 "/proc/$PID/stat") + 10))" # it runs on
}
