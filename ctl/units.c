/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The properties of units on the bus of systemd (org.freedesktop.systemd1(5)).
 */
#include "ctl/units.h"

#include <stdio.h>
#include <systemd/sd-bus.h>

#include "common/base/err.h"

enum { ANSWER_MAX_USEC = 1000000 };

#define SYSTEMD "org.freedesktop.systemd1"

struct units {
	sd_bus *bus;
};

struct units *units_open(void)
{
	struct units *u;
	sd_bus *bus = NULL;

	if (sd_bus_open_system(&bus) < 0) {
		return NULL;
	}
	(void)sd_bus_set_method_call_timeout(bus, ANSWER_MAX_USEC);
	u = xcalloc(1, sizeof(*u));
	u->bus = bus;
	return u;
}

void units_close(struct units *u)
{
	sd_bus_flush_close_unref(u->bus);
	free(u);
}

static int text_get(struct units *u, const char *path, const char *name, char *out, size_t size)
{
	char *text = NULL;
	int r = sd_bus_get_property_string(
		u->bus, SYSTEMD, path, SYSTEMD ".Unit", name, NULL, &text);

	snprintf(out, size, "%s", r < 0 ? "" : text);
	free(text);
	return r < 0 ? ST_NOT_FOUND : 0;
}

int units_find(struct units *u, const char *daemon, struct unit *out)
{
	char name[64], loaded[16], *path = NULL;
	int r;

	*out = (struct unit) { 0 };
	snprintf(name, sizeof(name), "muster-%s.service", daemon);
	if (sd_bus_path_encode("/org/freedesktop/systemd1/unit", name, &path) < 0) {
		return ST_NOT_FOUND;
	}
	r = text_get(u, path, "LoadState", loaded, sizeof(loaded));
	r = r ? r : text_get(u, path, "SubState", out->state, sizeof(out->state));
	if (r == 0 && (strcmp(loaded, "loaded") != 0 ||
			      sd_bus_get_property_trivial(u->bus, SYSTEMD, path, SYSTEMD ".Service",
				      "NRestarts", NULL, 'u', &out->restarts) < 0)) {
		r = ST_NOT_FOUND;
	}
	free(path);
	return r;
}
