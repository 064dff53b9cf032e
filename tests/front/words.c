// SPDX-License-Identifier: Apache-2.0
/* words: the words of a command line as the CriuOpts that they make, packed, for protoc --decode. */
#include "front/options.h"

#include "base/res.h"

int main(int argc, char **argv)
{
	static struct request q; /* what it has lives as long as the process */
	char why[WHY_MAX] = "";
	own_mem uint8_t *buf = NULL;
	size_t n;
	int first;

	request_init(&q);
	if (options_parse(&q, argc, argv, &first, why, sizeof(why)) != 0) {
		fprintf(stderr, "%s\n", why);
		return 1;
	}
	buf = xalloc(criu_opts__get_packed_size(q.opts));
	n = criu_opts__pack(q.opts, buf);
	return fwrite(buf, 1, n, stdout) == n ? 0 : 1;
}
