/* SPDX-License-Identifier: Apache-2.0 */
/* The agent's machine code, as the build made it. Entry point at its first byte. */
#ifndef AGENT_BLOB_H
#define AGENT_BLOB_H

extern const unsigned char agent_blob[];
extern const unsigned char agent_blob_end[];

#endif
