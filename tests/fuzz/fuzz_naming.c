/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Records of the naming environment as a damaged sibling might leave them: every accessor refuses
 * or stays inside the bytes.
 */
#include "tests/fuzz/fuzz.h"

#include "common/msg/naming.h"

static void inside(struct str record, struct str part)
{
	must(part.n == 0 || (part.p >= record.p && part.p + part.n <= record.p + record.n));
}

static void node_walk(struct str record)
{
	struct naming_node node;
	struct str rdata;

	if (naming_node_open(record, &node)) {
		return;
	}
	inside(record, node.name);
	inside(record, node.address.bytes);
	while (naming_text_next(&node.texts, &rdata)) {
		inside(record, rdata);
	}
}

static void view_walk(const struct naming_service *s, const struct naming_view *v)
{
	for (int kind = 0; kind < NAMING_LISTS_COUNT; kind++) {
		const struct naming_list *l = &v->lists[kind];

		for (uint32_t i = 0; i < min_of(l->count, 1000u); i++) {
			struct naming_target target;

			if (kind < NAMING_LIST_HOSTS) {
				inside(s->record, naming_list_address(s, l, kind, i).bytes);
			} else if (!naming_list_target(s, l, i, &target)) {
				inside(s->record, target.node.name);
				inside(s->record, target.address.bytes);
			}
		}
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str record = str_n(data, size);
	struct naming_service service;
	struct naming_view view;

	node_walk(record);
	if (naming_service_open(record, &service)) {
		return 0;
	}
	if (!naming_service_view(&service, STR_NONE, &view)) {
		view_walk(&service, &view);
	}
	if (!naming_service_view(&service, STR("v1"), &view)) {
		view_walk(&service, &view);
	}
	return 0;
}
