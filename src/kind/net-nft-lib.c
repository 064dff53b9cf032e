// SPDX-License-Identifier: Apache-2.0
/*
 * libnftables, loaded when a ruleset is at hand: with it and its company every start would take
 * milliseconds more. Guests call this while their root is still the host's: see ns-dump.c.
 */
#include <dlfcn.h>
#include <nftables/libnftables.h>
#include <stdlib.h>

#define LIBRARY "libnftables.so.1"

/* The loader keeps the library and counts; asking again is cheap. */
static void *symbol(const char *name)
{
	void *lib = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);

	return lib ? dlsym(lib, name) : NULL;
}
#define CALL(f) ((__typeof__(&f))symbol(#f))

struct nft_ctx *nft_ctx_new(uint32_t flags)
{
	return CALL(nft_ctx_new) ? CALL(nft_ctx_new)(flags) : NULL;
}

void nft_ctx_free(struct nft_ctx *c)
{
	CALL(nft_ctx_free)(c);
}

void nft_ctx_output_set_flags(struct nft_ctx *c, unsigned int flags)
{
	CALL(nft_ctx_output_set_flags)(c, flags);
}

int nft_ctx_buffer_output(struct nft_ctx *c)
{
	return CALL(nft_ctx_buffer_output)(c);
}

int nft_ctx_buffer_error(struct nft_ctx *c)
{
	return CALL(nft_ctx_buffer_error)(c);
}

const char *nft_ctx_get_output_buffer(struct nft_ctx *c)
{
	return CALL(nft_ctx_get_output_buffer)(c);
}

const char *nft_ctx_get_error_buffer(struct nft_ctx *c)
{
	return CALL(nft_ctx_get_error_buffer)(c);
}

int nft_run_cmd_from_buffer(struct nft_ctx *c, const char *buf)
{
	return CALL(nft_run_cmd_from_buffer)(c, buf);
}
