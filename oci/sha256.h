/* SPDX-License-Identifier: Apache-2.0 */
/* sha256: FIPS 180-4, for the digests of OCI images. */
#ifndef OCI_SHA256_H
#define OCI_SHA256_H

#include <stddef.h>
#include <stdint.h>

#define SHA256_TEXT 65 /* in hexadecimal, with its NUL */

struct sha256 {
	uint32_t h[8];
	unsigned char block[64];
	uint64_t n;
};

void sha256_start(struct sha256 *s);
void sha256_add(struct sha256 *s, const void *p, size_t n);
void sha256_end(struct sha256 *s, char text[SHA256_TEXT]);

#endif
