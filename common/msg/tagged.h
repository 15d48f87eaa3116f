/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which of its addresses a node or an instance is shown under. Beside its plain address each may
 * have others under names of their own (TaggedAddresses): of those "lan_ipv4" and "lan_ipv6" count
 * everywhere, "wan", "wan_ipv4" and "wan_ipv6" only for somebody in another data centre who set
 * translate_wan_addrs.
 */
#ifndef MUSTER_COMMON_MSG_TAGGED_H
#define MUSTER_COMMON_MSG_TAGGED_H

#include "common/msg/types.h"

/* Borrowed. p is NULL where there is none of that name; an empty one hides the plain address, as in
 * Consul. */
struct tagged {
	struct str lan_v4, lan_v6, wan, wan_v4, wan_v6;
	int64_t wan_port; /* 0: none */
};

/* What a family of addresses is asked for: ANY prefers IPv6, then IPv4, then the plain one. */
enum tagged_family { TAGGED_ANY, TAGGED_V4, TAGGED_V6 };

/* One more entry of a map; names that mean nothing here are passed over. */
void tagged_add(struct tagged *t, struct str name, struct str address, int64_t port);
void tagged_of_node(struct tagged *out, const struct pairs *addresses);
void tagged_of_service(struct tagged *out, const struct service_def *service);
/* TaggedAddresses as answers show them: of a node texts, of a service objects. NULL: none. */
void tagged_of_json(struct tagged *out, const struct json *addresses);

/* plain: the address itself. */
struct str tagged_address(
	const struct tagged *t, struct str plain, enum tagged_family family, bool wan);
int64_t tagged_port(const struct tagged *t, int64_t plain, bool wan);

#endif
