/* SPDX-License-Identifier: Apache-2.0 */
/* apparmor: the policies of AppArmor's namespaces. The profiles of threads: lsm.h. */
#ifndef KIND_APPARMOR_H
#define KIND_APPARMOR_H

#include "session/session.h"

/** apparmor_note - dump: a thread has that label; the namespaces that it names are kept */
void apparmor_note(struct session *s, const char *label);
/** apparmor_dump - all namespaces that were noted, with those in them, into apparmor.img */
int apparmor_dump(struct session *s);
/** apparmor_restore - before threads take labels: make what is missing; later calls do nothing */
int apparmor_restore(struct session *s);

#endif
