/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The clocks and the secret chance of the machine. mono is CLOCK_BOOTTIME: it goes on while the
 * machine sleeps and is the same for all processes of one boot, so deadlines may be stored and
 * compared across a restart of a daemon.
 */
#ifndef MUSTER_COMMON_SYS_CLOCK_H
#define MUSTER_COMMON_SYS_CLOCK_H

#include "common/base/str.h"
#include "common/base/time.h"

struct mono clock_mono(void);
struct wall clock_wall(void);

void random_bytes(void *out, size_t n); /* getrandom(2) */
uint64_t random_u64(void);
struct uuid random_uuid(void);

/* The kernel's boot id: text of 36 characters; changes with every start of the machine. */
int boot_id_read(char out[UUID_TEXT_SIZE + 1]);

#endif
