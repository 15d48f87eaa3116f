/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Updates of coordinates, gathered: the newest of each node, a few commands every FLUSH_MS instead
 * of one per node. Who sent one is answered at once, as by Consul; what is lost with this process,
 * or is too much for one interval, comes again by itself.
 */
#include "catalogd/catalogd.h"
#include "common/base/map.h"

enum { FLUSH_MS = 5000, BATCH_MAX = 128, BATCHES_MAX = 5 };

struct gathered {
	struct map_node node; /* by node 0 segment */
	struct buf key, encoded;
};

struct coordinates {
	struct catalogd *c;
	struct map by_node;
	struct loop_timer timer;
	uint64_t dropped;
};

static void gathered_free(struct coordinates *all, struct gathered *g)
{
	map_del(&all->by_node, &g->node);
	buf_fini(&g->key);
	buf_fini(&g->encoded);
	free(g);
}

static struct gathered *gathered_get(struct coordinates *all, struct str key)
{
	struct gathered *g = map_find(&all->by_node, key, struct gathered, node);

	if (!g && all->by_node.count == (size_t)BATCH_MAX * BATCHES_MAX) {
		all->dropped++;
		return NULL;
	}
	if (!g) {
		g = xcalloc(1, sizeof(*g));
		buf_put_str(&g->key, key);
		map_add(&all->by_node, &g->node, buf_str(&g->key));
	}
	return g;
}

static void gather(struct coordinates *all, const struct coordinate *v)
{
	OWN_EMBEDDED(buf_fini) struct buf key = { 0 };
	struct gathered *g;

	if (v->node.n > NODE_NAME_MAX || v->segment.n > STATUS_MAX) {
		return; /* there is no such node */
	}
	buf_put_str(&key, v->node);
	buf_put_u8(&key, 0);
	buf_put_str(&key, v->segment);
	g = gathered_get(all, buf_str(&key));
	if (g) {
		buf_clear(&g->encoded);
		coordinate_encode(&g->encoded, v);
	}
}

/* One command of what was gathered first. */
static void batch_propose(struct coordinates *all)
{
	OWN_EMBEDDED(arena_fini) struct arena arena = { 0 };
	OWN_EMBEDDED(buf_fini) struct buf payload = { 0 };
	struct coordinate *items = arena_array(&arena, struct coordinate, BATCH_MAX);
	struct cmd_coordinates cmd = { { items, 0 } };
	struct gathered *g, *following;

	map_for_each(g, following, &all->by_node, node)
	{
		if (cmd.items.count == BATCH_MAX) {
			break;
		}
		must(coordinate_decode(arena_str(&arena, buf_str(&g->encoded)), &arena,
			     &items[cmd.items.count++]) == 0);
		gathered_free(all, g);
	}
	cmd_coordinates_encode(&payload, &cmd);
	propose(all->c, COMMAND_cmd_coordinates, buf_str(&payload), NULL, NULL);
}

static void on_flush(void *arg)
{
	struct coordinates *all = arg;

	while (all->by_node.count) {
		batch_propose(all);
	}
	if (all->dropped) {
		log_warning("coordinates-dropped", "count=%llu", (unsigned long long)all->dropped);
		all->dropped = 0;
	}
}

void coordinates_take(struct catalogd *c, const struct cmd_coordinates *cmd)
{
	for (uint32_t i = 0; i < cmd->items.count; i++) {
		gather(c->coordinates, &cmd->items.items[i]);
	}
	if (!loop_timer_active(&c->coordinates->timer)) {
		loop_timer_in(&c->coordinates->timer, FLUSH_MS);
	}
}

void coordinates_new(struct catalogd *c)
{
	c->coordinates = xcalloc(1, sizeof(*c->coordinates));
	c->coordinates->c = c;
	map_init(&c->coordinates->by_node, random_u64());
	loop_timer_init(&c->coordinates->timer, c->daemon->loop, on_flush, c->coordinates);
}

void coordinates_free(struct coordinates *all)
{
	struct gathered *g, *following;

	map_for_each(g, following, &all->by_node, node)
	{
		gathered_free(all, g);
	}
	loop_timer_stop(&all->timer);
	map_fini(&all->by_node);
	free(all);
}
