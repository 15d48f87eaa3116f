/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The autopilot's configuration: replicated like everything else, one row of META.
 */
#include "catalogd/core/internal.h"

static const struct str autopilot_key = { "autopilot", 9 };

int catalog_autopilot(struct kv_txn *t, struct arena *arena, struct autopilot_record *out)
{
	struct str value;

	if (!kv_get(t, STATE_META, autopilot_key, &value)) {
		return ST_NOT_FOUND;
	}
	return autopilot_record_decode(value, arena, out);
}

bool autopilot_apply(struct catalog *c, const struct cmd_autopilot *cmd)
{
	struct autopilot_record now = { .create_index = c->index }, known;
	bool is_known = !catalog_autopilot(c->t, &c->arena, &known);

	if (cmd->cas && cmd->index != (is_known ? known.modify_index : 0)) {
		return false;
	}
	if (is_known) {
		now.create_index = known.create_index;
	}
	now.modify_index = c->index;
	now.config = cmd->config;
	buf_clear(&c->def);
	autopilot_record_encode(&c->def, &now);
	kv_put(c->t, STATE_META, autopilot_key, buf_str(&c->def));
	return true;
}
