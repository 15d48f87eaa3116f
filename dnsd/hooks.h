/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the daemon skeleton calls; see common/sys/daemon.h.
 */
#ifndef MUSTER_DNSD_HOOKS_H
#define MUSTER_DNSD_HOOKS_H

#include "common/sys/daemon.h"

int dnsd_open(struct daemon *daemon);
int dnsd_start(struct daemon *daemon);
void dnsd_reload(struct daemon *daemon);
void dnsd_drain(struct daemon *daemon);
void dnsd_stop(struct daemon *daemon);
void dnsd_status(struct daemon *daemon, struct jsonw *w);
const char *dnsd_waits_for(struct daemon *daemon);

#endif
