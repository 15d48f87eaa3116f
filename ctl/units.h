/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What systemd knows of a daemon's unit, asked over the system's D-Bus: anybody may ask. Without
 * systemd or D-Bus nothing is known.
 */
#ifndef MUSTER_CTL_UNITS_H
#define MUSTER_CTL_UNITS_H

#include "common/base/std.h"

struct units;

struct units *units_open(void); /* NULL: nobody to ask */
void units_close(struct units *u);
DEFINE_OWN(struct units, units_close)

struct unit {
	char state[24];	   /* systemd's "sub-state": running, failed, auto-restart, dead ... */
	uint32_t restarts; /* by systemd, because it had ended, since somebody last started it */
};

/* ST_NOT_FOUND: there is no unit muster-<daemon>.service, or systemd does not answer. */
int units_find(struct units *u, const char *daemon, struct unit *out);

#endif
