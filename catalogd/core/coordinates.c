/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Network coordinates of nodes. Updates for nodes that are not registered are dropped, as Consul
 * does.
 */
#include "catalogd/core/internal.h"
#include "common/msg/coordinate.h"

static void coordinate_store(struct catalog *c, const struct coordinate *v)
{
	struct state_key room;
	struct coordinate_record r = { .modify_index = c->index };
	struct str key, value;

	if (!v->node.n || v->segment.n > STATUS_MAX) {
		return;
	}
	r.coordinate = *v;
	key = state_key2(&room, lower(c, v->node), v->segment);
	buf_clear(&c->json);
	coordinate_render(&c->json, v);
	r.json = buf_str(&c->json);
	if (table_get(c, STATE_COORDINATES, key, &value)) {
		struct cursor cursor = cursor_of(value);

		if (str_eq(wire_get_STR(&cursor, NULL), r.json)) {
			return;
		}
	}
	buf_clear(&c->record);
	coordinate_record_encode(&c->record, &r);
	table_put(c, STATE_COORDINATES, key, buf_str(&c->record));
	mark(c, THING_COORDINATES, STR(""));
}

void coordinates_apply(struct catalog *c, const struct cmd_coordinates *cmd)
{
	struct entry ignored;

	for (uint32_t i = 0; i < cmd->items.count; i++) {
		if (node_find(c, cmd->items.items[i].node, &ignored)) {
			coordinate_store(c, &cmd->items.items[i]);
		}
	}
}

void coordinates_delete(struct catalog *c, struct str node)
{
	struct state_key room;
	struct kv_walk w;

	kv_walk_init(&w, c->t, STATE_COORDINATES, state_key2(&room, node, STR("")));
	while (kv_walk_next(&w)) {
		table_del(c, STATE_COORDINATES, str_n(w.at, w.key_size));
		mark(c, THING_COORDINATES, STR(""));
	}
}
