// SPDX-License-Identifier: Apache-2.0
/*
 * people: which command is meant, and its options. Criu's options are taken wherever they make sense, by the
 * same parser; our own are few and stand in a table here.
 */
#include "oci/people.h"

#include "base/res.h"
#include "front/options.h"
#include "oci/term.h"

#include <string.h>

static const struct command {
	const char *name;
	int (*run)(struct people *p);
	const char *operand; /* what the operand is; NULL: there is none */
} commands[] = {
	{ "checkpoint", checkpoint_run, "CONTAINER" },
	{ "restore", restore_run, "DIR" },
	{ "list", list_run, NULL },
	{ "show", show_run, "DIR or ARCHIVE" },
	{ "check", verify_run, "DIR or ARCHIVE" },
};

static const struct own {
	const char *name;
	const char *commands; /* that know it */
	size_t text, flag;    /* place of its value, or of the flag; 0: not this one */
} owns[] = {
	{ "--export", "checkpoint", offsetof(struct people, exp), 0 },
	{ "--import", "restore", offsetof(struct people, import), 0 },
	{ "--compress", "checkpoint", offsetof(struct people, compress), 0 },
	{ "--format", "checkpoint", offsetof(struct people, format), 0 },
	{ "--runtime-root", "checkpoint restore list", offsetof(struct people, roots), 0 },
	{ "--bundle", "restore", offsetof(struct people, bundle), 0 },
	{ "--json", "checkpoint restore list show check", 0, offsetof(struct people, json) },
	{ "--all", "list", 0, offsetof(struct people, all) },
	{ "--whole-rootfs", "checkpoint", 0, offsetof(struct people, whole_rootfs) },
	{ "--ignore-volumes", "checkpoint", 0, offsetof(struct people, ignore_volumes) },
};
_Static_assert(ARRAY_SIZE(owns) == ARRAY_SIZE(((struct people *)0)->taken), "a row each");

static const struct command *command_of(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		if (!strcmp(commands[i].name, name))
			return &commands[i];
	return NULL;
}

int people_unknown(const char *command)
{
	struct near near = near_start(command, SIZE_MAX);

	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		near_try(&near, commands[i].name);
	near_try(&near, "help");
	cli_near(&near);
	if (near_best(&near))
		return term_fail("there is no command %s; did you mean %s? (stasis help lists them)", command, near_best(&near));
	return term_fail("there is no command %s (stasis help lists them)", command);
}

static bool has(int argc, char **argv, const char *word)
{
	size_t n = strlen(word);

	for (int i = 1; i < argc && strcmp(argv[i], "--"); i++)
		if (!strncmp(argv[i], word, n) && (!argv[i][n] || argv[i][n] == '='))
			return true;
	return false;
}

static bool wants_help(int argc, char **argv)
{
	return has(argc, argv, "--help") || has(argc, argv, "-h");
}

bool people_wants(int argc, char **argv)
{
	const char *c = argc > 1 ? argv[1] : "";

	if (!*c || !strcmp(c, "help") || !strcmp(c, "--help") || !strcmp(c, "-h"))
		return true;
	if (!command_of(c))
		return *c != '-' && !cli_has(c);
	if (wants_help(argc, argv))
		return true;
	if (!strcmp(c, "restore"))
		return has(argc, argv, "--import") ||
		       (!has(argc, argv, "--exec-cmd") && options_operand(argc, argv, 1));
	return strcmp(c, "check") || options_operand(argc, argv, 1);
}

/* our options out of argv; what is left is criu's */
static int own_options(struct people *p, const char *command, int *argc, char **argv)
{
	int left = 1;

	for (int i = 1; i < *argc; i++) {
		size_t k = 0, n = strcspn(argv[i], "=");
		const char *value = argv[i][n] ? argv[i] + n + 1 : NULL;

		while (k < ARRAY_SIZE(owns) && (strlen(owns[k].name) != n || strncmp(argv[i], owns[k].name, n)))
			k++;
		if (k == ARRAY_SIZE(owns)) {
			argv[left++] = argv[i];
			continue;
		}
		if (!strstr(owns[k].commands, command))
			return term_fail("%s: is not for %s, but for %s", owns[k].name, command, owns[k].commands);
		p->taken[k] = true;
		if (!owns[k].text) {
			if (value)
				return term_fail("%s: takes no value", owns[k].name);
			*(bool *)((char *)p + owns[k].flag) = true;
			continue;
		}
		if (!value && ++i < *argc)
			value = argv[i];
		if (!value || !*value)
			return term_fail("%s: its value is missing", owns[k].name);
		*(const char **)((char *)p + owns[k].text) = value;
	}
	argv[left] = NULL;
	*argc = left;
	return 0;
}

/* An option that is wrong, or was meant to be another one. */
static int wrong(struct people *p, const char *command, const char *why)
{
	const char *word = p->req.unknown;
	struct near near;

	if (!word || strncmp(word, "--", 2))
		return term_fail("%s (stasis help %s)", why, command);
	near = near_start(word + 2, strcspn(word + 2, "="));
	for (size_t i = 0; i < ARRAY_SIZE(owns); i++)
		if (strstr(owns[i].commands, command))
			near_try(&near, owns[i].name + 2);
	options_near(&near);
	if (!near_best(&near))
		return term_fail("%s (stasis help %s)", why, command);
	return term_fail("%s; did you mean --%s? (stasis help %s)", why, near_best(&near), command);
}

static int parse(struct people *p, const struct command *c, int argc, char **argv)
{
	char why[WHY_MAX] = "";
	int first, r;

	p->roots = getenv("STASIS_RUNTIME_ROOT");
	if (own_options(p, c->name, &argc, argv))
		return 1;
	options_early(&p->req, argc, argv);
	r = config_defaults(&p->req, why, sizeof(why));
	if (r == 0)
		r = options_parse(&p->req, argc, argv, &first, why, sizeof(why));
	if (r != 0)
		return wrong(p, c->name, why);
	if (first < argc && c->operand && !p->import)
		p->what = argv[first++];
	if (first < argc)
		return term_fail("%s: is one word too many (stasis help %s)", argv[first], c->name);
	if (p->json && p->req.opts->log_file && !strcmp(p->req.opts->log_file, "-"))
		return term_fail("--json: goes to standard output; give the log another place than -");
	if (p->json)
		p->req.opts->display_stats = false; /* is in the answer */
	if (c->operand && !p->what && !p->import)
		return term_fail("%s: which %s? (stasis help %s)", c->name, c->operand, c->name);
	return 0;
}

int people_main(int argc, char **argv)
{
	const struct command *c = command_of(argc > 1 ? argv[1] : "");
	struct people p = { 0 };
	int r;

	if (argc < 2) {
		help_run(NULL);
		return term_fail("no command is given");
	}
	if (!c && *argv[1] != '-' && strcmp(argv[1], "help"))
		return people_unknown(argv[1]);
	if (!c)
		return help_run(argc > 2 && !strcmp(argv[1], "help") ? argv[2] : NULL);
	if (wants_help(argc, argv))
		return help_run(c->name);
	request_init(&p.req);
	r = parse(&p, c, argc - 1, argv + 1);
	if (r == 0)
		r = c->run(&p);
	request_close(&p.req);
	return r;
}
