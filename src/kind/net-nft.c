// SPDX-License-Identifier: Apache-2.0
/*
 * net-nft: see net-nft.h. Images hold the text of `nft list ruleset`; libnftables writes and reads it
 * in this process.
 *
 * Kept:   tables, chains, rules, sets and maps with their elements, counters, quotas, named objects.
 * Lost:   rules that only iptables-nft can read, and tables with an owner: refused.
 * Kernel: nf_tables (NFNL_SUBSYS_NFTABLES).
 */
#include "kind/net-nft.h"

#include "base/res.h"
#include "base/text.h"
#include "image/record.h"
#include "kind/net-map.h"
#include "kind/net-rtnl.h"

#include <ctype.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <nftables/libnftables.h>
#include <string.h>

#define TEXT_MAX (64u << 20) /* bytes of a ruleset */
#define LOCK_MARK "c114"     /* CRIU's lock lets packets with this mark pass */
#define UUID_LEN 36

static void nft_ctx_release(struct nft_ctx **c)
{
	if (*c)
		nft_ctx_free(*c);
}
#define own_nft __attribute__((cleanup(nft_ctx_release)))

static int table_seen(const struct nlmsghdr *h, void *arg)
{
	*(bool *)arg = h != NULL;
	return 0;
}

/* Asked first: most namespaces have none, and a kernel without nf_tables refuses. */
static int nft_any(struct session *s, uint32_t id, bool *ret)
{
	own_rtnl struct rtnl n = { 0 };
	int r = rtnl_open_bus(&n, NETLINK_NETFILTER);

	*ret = false;
	if (r == 0)
		r = rtnl_list(&n, NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETTABLE, AF_UNSPEC,
			      sizeof(struct nfgenmsg), table_seen, ret);
	if (r == -EPROTONOSUPPORT || r == -EINVAL || r == -EOPNOTSUPP)
		return 0;
	return r < 0 ? session_fail(s, r, "network namespace %u: list nftables", id) : 0;
}

/* Numbers instead of names, which the files of a container could give another sense. */
static struct nft_ctx *nft_new(void)
{
	struct nft_ctx *c = nft_ctx_new(NFT_CTX_DEFAULT);

	if (!c)
		return NULL;
	nft_ctx_output_set_flags(c, NFT_CTX_OUTPUT_NUMERIC_ALL);
	if (nft_ctx_buffer_output(c) || nft_ctx_buffer_error(c)) {
		nft_ctx_free(c);
		return NULL;
	}
	return c;
}

static int nft_failed(struct session *s, uint32_t id, struct nft_ctx *c, const char *verb)
{
	const char *e = c ? nft_ctx_get_error_buffer(c) : "libnftables.so.1 cannot be loaded; install it";

	return session_fail(s, -EINVAL, "network namespace %u: nftables: %s: %.*s", id, verb,
			    (int)strcspn(e, "\n"), e);
}

/* The whole ruleset as text, owned; "" if there is none. */
static int nft_list(struct session *s, uint32_t id, char **ret)
{
	own_nft struct nft_ctx *c = NULL;
	bool any = false;
	int r = nft_any(s, id, &any);

	*ret = NULL;
	if (r < 0)
		return r;
	if (!any) {
		*ret = xstrdup("");
		return 0;
	}
	c = nft_new();
	if (!c || nft_run_cmd_from_buffer(c, "list ruleset"))
		return nft_failed(s, id, c, "list the ruleset");
	*ret = xstrdup(nft_ctx_get_output_buffer(c));
	return 0;
}

/* ---- text ---- */

/* The next line's length with its newline. */
static size_t line_len(const char *p)
{
	const char *end = strchr(p, '\n');

	return end ? (size_t)(end - p) + 1 : strlen(p);
}

/* Bytes from p to the end of the line that is nothing but end. */
static size_t block_len(const char *p, const char *end)
{
	size_t n = 0, len;

	while ((len = line_len(p + n)) != 0) {
		bool last = len == strlen(end) && !strncmp(p + n, end, len);

		n += len;
		if (last)
			break;
	}
	return n;
}

/* A lock by the nftables method: table inet CRIU-<run id>; with a run id only that one. */
static bool is_lock_table(const char *line, const char *run_id)
{
	static const char head[] = "table inet CRIU-";
	const char *p = line + sizeof(head) - 1;

	if (strncmp(line, head, sizeof(head) - 1) || strspn(p, "0123456789abcdef-") != UUID_LEN)
		return false;
	return p[UUID_LEN] == ' ' && (!run_id || !strncmp(p, run_id, UUID_LEN));
}

/* By the iptables method: a chain CRIU in table filter whose first rule accepts the mark. */
static bool is_lock_chain(const char *line)
{
	static const char head[] = "\tchain CRIU {\n";
	const char *next = line + sizeof(head) - 1;

	return !strncmp(line, head, sizeof(head) - 1) &&
	       memmem(next, line_len(next), LOCK_MARK, strlen(LOCK_MARK));
}

static bool ends_in(const char *line, size_t len, const char *end)
{
	size_t n = strlen(end);

	return len >= n && !memcmp(line + len - n, end, n);
}

/* Cut locks out of a ruleset: ours by its run id, or with NULL any of CRIU's. */
static void cut_locks(char *text, const char *run_id)
{
	char *to = text;
	bool chain = false;

	for (size_t len; *text; text += len) {
		len = line_len(text);
		if (!strncmp(text, "table ", 6))
			chain = false;
		if (is_lock_table(text, run_id)) {
			len = block_len(text, "}\n");
			continue;
		}
		if (!run_id && is_lock_chain(text)) {
			len = block_len(text, "\t}\n");
			len += text[len] == '\n';
			chain = true;
			continue;
		}
		if (chain && ends_in(text, len, " jump CRIU\n"))
			continue;
		memmove(to, text, len);
		to += len;
	}
	*to = 0;
}

/* Is there this word, outside of strings? Comments count. */
static bool has_word(const char *text, const char *word)
{
	size_t n = strlen(word);
	bool quoted = false, inside = false;

	for (const char *p = text; *p; p++) {
		bool part = isalnum((unsigned char)*p) || *p == '_' || *p == '-' || *p == '.';

		if (*p == '"')
			quoted = !quoted;
		else if (*p == '\n')
			quoted = false;
		if (!quoted && part && !inside && !strncmp(p, word, n) &&
		    !(isalnum((unsigned char)p[n]) || strchr("_-.", p[n] ? p[n] : ' ')))
			return true;
		inside = part;
	}
	return false;
}

/* ---- the three steps ---- */

int nft_check(struct session *s, uint32_t id)
{
	own_mem char *text = NULL;
	int r = nft_list(s, id, &text);

	if (r < 0)
		return r;
	if (has_word(text, "xt"))
		return session_fail(s, -ENOTSUP,
				    "network namespace %u: nftables: a rule of iptables-nft has no form in nft (see `nft list ruleset`: xt); remove it, or use --empty-ns net",
				    id);
	if (strstr(text, "\tflags owner") || strstr(text, ",owner\n"))
		return session_fail(s, -ENOTSUP,
				    "network namespace %u: nftables: a table has an owner, which cannot be kept; end that program, or use --empty-ns net",
				    id);
	return 0;
}

int nft_dump(struct session *s, uint32_t id)
{
	own_mem char *text = NULL;
	own_image struct image img = { .fd = -1 };
	int r = nft_list(s, id, &text);

	if (r < 0)
		return r;
	cut_locks(text, s->run_id);
	if (!*text)
		return 0;
	r = image_create(s, &img, 0, "nftables-%u.img", id);
	if (r == 0)
		r = image_write_raw(&img, text, strlen(text));
	return r < 0 ? r : image_close(&img);
}

static int nft_load(struct session *s, struct image *img, uint32_t id)
{
	own_nft struct nft_ctx *c = NULL;
	size_t n = image_left(img);
	own_mem char *text = NULL;
	int r;

	if (n > TEXT_MAX)
		return session_fail(s, -EBADMSG, "image %s: is too large", img->name);
	text = xalloc(n + 1);
	r = n ? image_read_raw(img, text, n) : 0;
	if (r < 0)
		return r;
	/* the text is an image's, so no command in it may read a file of ours */
	if (memchr(text, 0, n) || has_word(text, "include"))
		return session_fail(s, -EBADMSG, "image %s: is not a ruleset", img->name);
	cut_locks(text, NULL);
	if (!text[strspn(text, " \t\n")])
		return 0;
	if (s->opts->n_address_map && (r = map_text(s, &text)) < 0)
		return r;
	c = nft_new();
	return !c || nft_run_cmd_from_buffer(c, text) ? nft_failed(s, id, c, "load the ruleset") : 0;
}

int nft_restore(struct session *s, uint32_t id)
{
	own_image struct image img = { .fd = -1 };
	int r = image_open(s, &img, 0, "nftables-%u.img", id);

	if (r != 0)
		return r < 0 ? r : 0;
	return nft_load(s, &img, id);
}
