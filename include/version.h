/* SPDX-License-Identifier: Apache-2.0 */
/* The version of criu's interface that this library has. */
#ifndef CRIU_VERSION_H
#define CRIU_VERSION_H

#define CRIU_VERSION "4.2"
#define CRIU_VERSION_MAJOR 4
#define CRIU_VERSION_MINOR 2
#define CRIU_GITID "0"

#endif
