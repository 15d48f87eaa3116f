/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The two small status pages that daemons share as memory (common/sys/page.h maps them): who leads,
 * and which state is valid. Instants are of the boot-time clock (struct mono), which all processes
 * of one boot share.
 */
#ifndef MUSTER_COMMON_MSG_PAGE_H
#define MUSTER_COMMON_MSG_PAGE_H

#include <stdint.h>

/* Written by raftd in raftd/page. */
struct raft_page {
	uint64_t term;
	uint64_t commit_index;
	int64_t lease_until_ns; /* leader: until when nobody else can lead; INT64_MAX in a quorum of
				   one; 0 for others */
	int64_t last_contact_ns; /* when a leader was last heard of; leader: irrelevant */
	uint8_t is_leader;
	uint8_t leader_known;
	uint16_t leader_http_port; /* of its httpd for other nodes; 0: unknown */
	char leader_address[64];   /* "127.0.0.1:8300", NUL-terminated; "" unknown */
};

/* Written by catalogd in catalogd/page. State environment: catalogd/state.<generation>, naming:
 * catalogd/naming.<generation>. */
struct catalog_page {
	uint64_t generation;	/* grows whenever readers must open a new environment */
	uint64_t restore_count; /* grows with each restored snapshot: every waiter looks again */
	uint8_t ready;	  /* 0: the state is known to be behind: answer errors, never old data */
	uint32_t alive_s; /* when catalogd was last at work, in seconds of the boot-time clock */
};

#endif
