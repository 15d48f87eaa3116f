/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The last good answers of other servers, for when none of them can be asked (or, by
 * dns_config.use_cache, instead of asking). What an answer depends on is its key: the question to
 * the peer without its id, in lower case. Bounded in number and bytes; what was used least recently
 * goes first. Time is the caller's.
 */
#ifndef MUSTER_DNSD_CORE_CACHE_H
#define MUSTER_DNSD_CORE_CACHE_H

#include "common/base/map.h"
#include "common/base/time.h"
#include "dnsd/core/dns.h"

struct dns_cache {
	struct map map;
	struct list used; /* least recently used first */
	size_t bytes, entries_max, bytes_max;
};

/* seed: strangers choose what is asked. */
void dns_cache_init(struct dns_cache *c, size_t entries_max, size_t bytes_max, uint64_t seed);
void dns_cache_fini(struct dns_cache *c);
/* peer_query: as DNS_ASK made it, whatever its id is now. An answer that is larger than all there
 * is room for is not kept. */
void dns_cache_put(struct dns_cache *c, struct str peer_query, struct str message, struct mono now);
/* It is known not to hold any more. */
void dns_cache_del(struct dns_cache *c, struct str peer_query);
/*
 * The answer that is at most age_max_ns old, as one to the client's query: with its id and its
 * spelling of the name; for dns_peer_finish. false: there is none.
 */
bool dns_cache_get(struct dns_cache *c, struct str peer_query, struct str client_query,
	struct mono now, int64_t age_max_ns, struct dns_reply *out);

#endif
