/* SPDX-License-Identifier: Apache-2.0 */
/* term: what people read: colour on terminals only, no control characters of others, sizes with units. */
#ifndef OCI_TERM_H
#define OCI_TERM_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

enum tint { TINT_NONE, TINT_BOLD, TINT_DIM, TINT_RED, TINT_GREEN, TINT_YELLOW };

/** tint - what starts and (TINT_NONE) ends a colour on f; "" if f is no terminal, or NO_COLOR is set */
const char *tint(FILE *f, enum tint t);
/** term_clean - text without control characters, which could steer a terminal; owned */
char *term_clean(const char *text);
/** term_size - "12.3 MiB" into buf */
const char *term_size(uint64_t bytes, char buf[32]);
/** term_fail - "stasis: ..." on standard error; 1, to be returned */
int term_fail(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/** term_note - what takes its time now; only where somebody watches a terminal */
void term_note(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void term_warn(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
