/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Datagrams from strangers: whatever the bytes, the messages lie inside them, and one that decodes
 * is decoded to the same again from what is encoded of it.
 */
#include "tests/fuzz/fuzz.h"

#include "gossipd/core/packet.h"
#include "gossipd/core/serf_message.h"

static union {
	struct serf_query query;
	char room[1024];
} message;

static void again(struct str body, const struct pack_schema *schema)
{
	OWN_EMBEDDED(buf_fini) struct buf first = { 0 }, second = { 0 };

	if (!schema || swim_get(body, schema, &message)) {
		return;
	}
	pack_struct(&first, schema, &message);
	must(swim_get(buf_str(&first), schema, &message) == 0);
	pack_struct(&second, schema, &message);
	must(str_eq(buf_str(&first), buf_str(&second)));
}

static void on_message(void *arg, uint8_t type, struct str body)
{
	static const struct pack_schema *const swim[] = { &swim_ping_schema,
		&swim_indirect_ping_schema, &swim_ack_schema, &swim_accusation_schema,
		&swim_alive_schema, &swim_accusation_schema, [SWIM_NACK] = &swim_nack_schema };
	static const struct pack_schema *const serf[] = { &serf_leave_schema, &serf_join_schema,
		&serf_state_schema, &serf_event_schema, &serf_query_schema, &serf_response_schema,
		&serf_conflict_schema, &serf_key_request_schema, &serf_key_response_schema,
		&serf_relay_schema };

	(void)arg;
	if (type == SWIM_USER && body.n && (uint8_t)body.p[0] < ARRAY_SIZE(serf)) {
		again(str_skip(body, 1), serf[(uint8_t)body.p[0]]);
	} else if (type < ARRAY_SIZE(swim)) {
		again(body, swim[type]);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str bytes = str_n(data, size), label;

	if (packet_label_cut(&bytes, &label) == 0) {
		packet_walk(bytes, on_message, NULL);
	}
	return 0;
}
