# SPDX-License-Identifier: Apache-2.0
# link NAME OUT: a program of this directory with the front end's objects, but their main().
link() {
	local src=$BATS_TEST_DIRNAME/../..
	# shellcheck disable=SC2046
	gcc -std=gnu11 -g -include config.h -I"$src/src" -I"$BUILD" $(pkg-config --cflags libprotobuf-c) -o "$2" \
		"$BATS_TEST_DIRNAME/$1.c" $(ls "$BUILD"/src/front/*.o | grep -v /main.o) "$BUILD/libengine.a" \
		$(sed -n 's/^SANITIZE = //p' "$BUILD/Makefile") $(sed -n 's/^[A-Z0-9_]*_LIBS = //p' "$BUILD/Makefile")
}
