# SPDX-License-Identifier: Apache-2.0
# Broken input for as long as $FUZZ_SECONDS says, from the seed $FUZZ_SEED: tests/wire/fuzz.py.

setup_fuzz() { G=stasis-fuzz-$$-$RANDOM; }
teardown_fuzz() {
	local d
	for d in $(find /sys/fs/cgroup -depth -type d -path "*/$G*" 2>/dev/null); do rmdir "$d"; done
}

# fuzz SORT DIR: in namespaces and cgroups of its own, which are the last thing that the shell of it sees
fuzz() {
	( own_cgroups
	apart timeout $((${FUZZ_SECONDS:-10} + 100)) python3 "$BATS_TEST_DIRNAME/../wire/fuzz.py" \
		"$1" "$BUILD/stasis" "$2" "${FUZZ_SEED:-1}" "${FUZZ_SECONDS:-10}" )
}
apart() { unshare -mpfniuC --kill-child --mount-proc "$BUILD/tests/kit/reap" "$@"; }
own_cgroups() {
	local d f
	for d in /sys/fs/cgroup/{*/,}cgroup.procs; do
		[ -e "$d" ] || continue
		d=${d%/*}
		mkdir "$d/$G"
		[ ! -e "$d/cpuset.cpus" ] || for f in cpus mems; do cat "$d/cpuset.$f" >"$d/$G/cpuset.$f"; done
		echo "$BASHPID" >"$d/$G/cgroup.procs"
	done
}
