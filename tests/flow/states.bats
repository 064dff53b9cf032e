#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Shows: task/regs task/seccomp task/creds task/prctl task/cpu task/dispatch task/numa task/keys task/sched task/pdeathsig task/altstack task/dumpable fd/memfd fd/nsfile mem-numa mem/anon mem/file
# What prctl(2) and its like set for threads, processes and memory.
load ../kit/kind

setup() { setup_kind; }
teardown() { teardown_kind; }

# what this kernel or machine has none of, the program says in a file
started() { ! grep -qx "$1" "$(dir_of)/lacks" || skip "this kernel or machine has no $1"; }

@test "dispatch of system calls, MDWE, merging, I/O flusher, speculation, TSC, memory errors, slack, subreaper, signal at the parent's death, membarrier, memory policy, personality, session keyring, which memory goes into a core dump" {
	keeps states all
}
@test "vector registers, as wide as this processor has them, and how it rounds" { keeps vector all; }
@test "registers that this processor has not are refused, and nothing is left" {
	local which
	# the flag in cpuinfo, the component of XSAVE, the list in the image, its length
	while read -r which; do
		grep -qw "^flags.*[[:space:]]${which%% *}" /proc/cpuinfo || break
	done <<< 'mpx 3 bndreg_state 8
pku 9 pkru 2
avx512f 5 opmask_reg 8'
	start_kind vector all
	dump
	until_true gone "$PID"
	edit_image "$IMG/img/core-$PID.img" '
flag, number, name, length = "'"$which"'".split()
x = e[0]["thread_info"]["fpregs"]["xsave"]
x["xstate_bv"] = "0x%x" % (int(str(x["xstate_bv"]), 0) | 1 << int(number))
x[name] = ["0x1" if number != "9" else 1] * int(length)'
	run restore
	[ "$status" -ne 0 ]
	[[ "$output" == *"registers (AVX, AVX-512 ...) that this processor has not"* ]] || { echo "$output" >&2; return 1; }
	gone "$PID"
}
@test "protection keys: of memory, in registers, allocated or not" { keeps states pkeys; }
@test "memory policy of a mapping" { keeps states mbind; }
@test "name of a mapping" { keeps states vma-name; }
@test "memory locked page by page (MLOCK_ONFAULT): holes stay holes" { keeps states onfault; }
@test "mlockall(MCL_FUTURE): what is mapped later is locked, what was there before is not" { keeps states future; }
@test "mlockall(MCL_FUTURE | MCL_ONFAULT)" { keeps states touched; }
@test "mlockall(MCL_FUTURE) when RLIMIT_MEMLOCK allows no more" { keeps states full; }
@test "advice on memory" { keeps states advice; }
@test "sealed memory (mseal)" { keeps states sealed; }
@test "memory that the kernel may drop (MAP_DROPPABLE)" { keeps states droppable; }
@test "no huge pages but where they are advised" { keeps states advised; }
@test "deadline scheduling" { AROUND="plain spaces" keeps states deadline; } # root of the host
@test "not dumpable" { keeps states dumpable; }
@test "a sealed memfd" { keeps states memfd; }
@test "a descriptor of a namespace" { keeps states nsfile; }
@test "mapped files, private and shared" { keeps states map; }
@test "threads with ids, capabilities, seccomp, policy, nice, time slice, CPU, I/O priority, name, signals of their own" {
	keeps states apart
}
@test "that the restorer's end is that of a parent is said" {
	start_kind states all
	dump
	until_true gone "$PID"
	run restore
	[ "$status" -eq 0 ]
	[[ "$output" == *"PR_SET_PDEATHSIG"* ]] || { echo "$output" >&2; return 1; }
	verify
}
