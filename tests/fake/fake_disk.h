/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A disk in memory (raftd/disk.h) that behaves as badly as real ones: what was not synced is lost,
 * kept or torn in a power cut, sector by sector; names too; a failed sync leaves the pages in the
 * cache, looking clean; the disk can be full. Faults on demand: the n-th call from now on, or each
 * with a probability. Seeded: a run repeats.
 */
#ifndef MUSTER_TESTS_FAKE_FAKE_DISK_H
#define MUSTER_TESTS_FAKE_FAKE_DISK_H

#include "common/base/list.h"
#include "common/base/rng.h"
#include "raftd/disk.h"

enum { FAKE_SECTOR = 512 };

struct fake_disk {
	struct disk disk;
	struct rng rng;
	struct list files;
	uint64_t calls;	       /* writes, syncs, opens, removals and reads so far */
	uint64_t fail_at;      /* the call with this number fails; 0: none */
	uint32_t fail_percent; /* each call fails with this chance */
	uint64_t capacity;     /* bytes; a write that needs more fails with ENOSPC. 0: no limit */
	uint64_t syncs;
};

void fake_disk_init(struct fake_disk *d, uint64_t seed);
void fake_disk_fini(struct fake_disk *d);
void fake_disk_power_cut(struct fake_disk *d); /* every open file must have been closed */
uint64_t fake_disk_bytes(const struct fake_disk *d);
/* Flips one bit of what is stored; false: there is no such byte. */
bool fake_disk_flip(struct fake_disk *d, const char *name, uint64_t offset);

#endif
