// SPDX-License-Identifier: Apache-2.0
#include "oci/term.h"

#include "base/res.h"
#include "base/text.h"

#include <stdarg.h>
#include <string.h>

const char *tint(FILE *f, enum tint t)
{
	static const char *const codes[] = { "\033[0m", "\033[1m", "\033[2m", "\033[31m", "\033[32m", "\033[33m" };
	const char *no = getenv("NO_COLOR"), *term = getenv("TERM");

	if ((no && *no) || (term && !strcmp(term, "dumb")) || !isatty(fileno(f)))
		return "";
	return codes[t];
}

char *term_clean(const char *text)
{
	char *t = xstrdup(text);

	text_clean(t);
	return t;
}

const char *term_size(uint64_t bytes, char buf[32])
{
	static const char *const units[] = { "bytes", "KiB", "MiB", "GiB", "TiB", "PiB" };
	double v = bytes;
	size_t u = 0;

	while (v >= 1024 && u + 1 < ARRAY_SIZE(units)) {
		v /= 1024;
		u++;
	}
	snprintf(buf, 32, u ? "%.1f %s" : "%.0f %s", v, units[u]);
	return buf;
}

static void say(const char *word, enum tint colour, const char *fmt, va_list ap)
{
	char text[2000];
	own_mem char *clean = NULL;

	vsnprintf(text, sizeof(text), fmt, ap);
	clean = term_clean(text);
	fprintf(stderr, "%s%s%s%s\n", tint(stderr, colour), word, tint(stderr, TINT_NONE), clean);
}

int term_fail(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say("stasis: ", TINT_RED, fmt, ap);
	va_end(ap);
	return 1;
}

void term_warn(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say("stasis: warning: ", TINT_YELLOW, fmt, ap);
	va_end(ap);
}

void term_note(const char *fmt, ...)
{
	va_list ap;

	if (!isatty(2))
		return;
	va_start(ap, fmt);
	say("", TINT_NONE, fmt, ap);
	va_end(ap);
}
