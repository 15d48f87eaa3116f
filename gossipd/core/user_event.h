/* SPDX-License-Identifier: Apache-2.0 */
/*
 * User events by themselves: what may be fired, how large it is in Serf's encoding, and whom it
 * concerns.
 */
#ifndef MUSTER_GOSSIPD_CORE_USER_EVENT_H
#define MUSTER_GOSSIPD_CORE_USER_EVENT_H

#include "common/base/json.h"
#include "common/msg/types.h"

enum { USER_EVENT_SIZE_MAX = 512 }; /* Serf's UserEventSizeLimit */

/* The name in Serf's pool is this and the event's own. */
#define USER_EVENT_PREFIX "consul:event:"

/* The payload of Serf's event. Reading: ST_INVALID where it is none of Consul's; the strings are
 * borrowed; ltime is not in it. */
void user_event_pack(struct buf *out, const struct user_event *e);
int user_event_unpack(struct str name, struct str payload, struct user_event *out);

/* 0, or ST_INVALID, ST_TOO_LARGE with Consul's text in *why. ltime: what the event would be sent
 * with. */
int user_event_check(const struct user_event *e, uint64_t ltime, struct buf *why);

/* name and payload as Serf counts them before encoding, and the whole message as it goes over the
 * wire. */
size_t user_event_size(const struct user_event *e);
size_t user_event_encoded_size(const struct user_event *e, uint64_t ltime);

/* Does the node filter let it pass? A filter that does not compile matches nothing. */
bool user_event_is_for_node(const struct user_event *e, struct str node);
/* And the filters of service ID and tag, against the services of this node: a JSON object of
 * AgentService by ID. */
bool user_event_is_for_services(const struct user_event *e, const struct json *services);

#endif
