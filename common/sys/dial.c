/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Literal addresses need no resolver; a name waits for glibc's, which a timer asks.
 */
#include "common/sys/dial.h"

#include <ctype.h>
#include <netdb.h>

#include "common/base/buf.h"

enum { POLL_FIRST_MS = 2, POLL_MAX_MS = 50, POLL_ABANDONED_MS = 1000 };

/* What the resolver's thread may still use after we have lost interest: then the lookup waits on
 * its own for the end of it. */
struct lookup {
	struct loop_timer abandoned;
	struct gaicb request;
	struct gaicb *list[1];
	struct addrinfo hints;
	char *host;
};

struct dial {
	dial_fn on_addresses;
	void *arg;
	struct loop_timer timer;
	struct net_address addresses[DIAL_ADDRESSES_MAX];
	size_t count;
	struct buf error;
	char *port;
	struct lookup *lookup;
	int64_t poll_ms;
};

static void lookup_free(struct lookup *l)
{
	if (l->request.ar_result) {
		freeaddrinfo(l->request.ar_result);
	}
	free(l->host);
	free(l);
}

static void on_abandoned(void *arg)
{
	struct lookup *l = arg;

	if (gai_error(&l->request) == EAI_INPROGRESS) {
		loop_timer_in(&l->abandoned, POLL_ABANDONED_MS);
	} else {
		lookup_free(l);
	}
}

/* One that is being worked on cannot be cancelled. */
static void lookup_abandon(struct lookup *l, struct loop *loop)
{
	if (gai_cancel(&l->request) != EAI_NOTCANCELED) {
		lookup_free(l);
		return;
	}
	loop_timer_init(&l->abandoned, loop, on_abandoned, l);
	loop_timer_in(&l->abandoned, POLL_ABANDONED_MS);
}

void dial_free(struct dial *d)
{
	loop_timer_stop(&d->timer);
	if (d->lookup) {
		lookup_abandon(d->lookup, d->timer.loop);
	}
	buf_fini(&d->error);
	free(d->port);
	free(d);
}

void dial_render_error(struct buf *out, const char *call, int error)
{
	const char *words = strerror(error);

	buf_printf(out, "%s: %c%s", call, tolower((unsigned char)words[0]), words + 1);
}

static void addresses_take(struct dial *d)
{
	struct lookup *l = d->lookup;

	for (struct addrinfo *a = l->request.ar_result; a && d->count < DIAL_ADDRESSES_MAX;
		a = a->ai_next) {
		struct net_address *to = &d->addresses[d->count];
		OWN_EMBEDDED(buf_fini) struct buf text = { 0 };
		struct net_address bare = { .size = a->ai_addrlen };

		if (a->ai_family != AF_INET && a->ai_family != AF_INET6) {
			continue;
		}
		memcpy(&bare.sa, a->ai_addr, a->ai_addrlen);
		buf_put_cstr(&text, a->ai_family == AF_INET6 ? "[" : "");
		net_address_render_ip(&bare, &text);
		buf_printf(&text, "%s:%s", a->ai_family == AF_INET6 ? "]" : "", d->port);
		if (net_address_parse(buf_str(&text), -1, to) == 0) {
			d->count++;
		}
	}
}

static void on_timer(void *arg)
{
	struct dial *d = arg;

	if (d->lookup) {
		int state = gai_error(&d->lookup->request);

		if (state == EAI_INPROGRESS) {
			d->poll_ms = min_of(d->poll_ms * 2, POLL_MAX_MS);
			loop_timer_in(&d->timer, d->poll_ms);
			return;
		}
		if (state == 0) {
			addresses_take(d);
		}
		if (d->count == 0) {
			buf_printf(&d->error, "lookup %s: %s", d->lookup->host,
				state == EAI_AGAIN ? "Temporary failure in name resolution"
						   : "no such host");
		}
		lookup_free(take(d->lookup));
	}
	d->on_addresses(d->arg, d->addresses, d->count, d->count ? NULL : buf_cstr(&d->error));
}

static void lookup_start(struct dial *d, struct str host)
{
	struct lookup *l = xcalloc(1, sizeof(*l));

	l->host = str_dup(host);
	l->hints.ai_socktype = SOCK_STREAM;
	l->request.ar_name = l->host;
	l->request.ar_request = &l->hints;
	l->list[0] = &l->request;
	if (getaddrinfo_a(GAI_NOWAIT, l->list, 1, NULL)) {
		buf_printf(&d->error, "lookup %s: too many lookups", l->host);
		lookup_free(l);
		return;
	}
	d->lookup = l;
}

struct dial *dial_new(struct loop *loop, struct str host_port, dial_fn on_addresses, void *arg)
{
	struct dial *d = xcalloc(1, sizeof(*d));
	ssize_t colon = str_rfind(host_port, ':');
	uint64_t port;

	d->on_addresses = on_addresses;
	d->arg = arg;
	d->poll_ms = POLL_FIRST_MS;
	loop_timer_init(&d->timer, loop, on_timer, d);
	if (net_address_parse(host_port, -1, &d->addresses[0]) == 0 &&
		d->addresses[0].sa.ss_family != AF_UNIX) {
		d->count = 1;
	} else if (colon < 0) {
		buf_printf(&d->error, "address " STR_FMT ": missing port in address",
			STR_ARG(host_port));
	} else if (str_to_u64(str_skip(host_port, (size_t)colon + 1), &port) || port > 65535) {
		buf_printf(&d->error, "address " STR_FMT ": invalid port",
			STR_ARG(str_skip(host_port, (size_t)colon + 1)));
	} else {
		d->port = str_dup(str_skip(host_port, (size_t)colon + 1));
		lookup_start(d, colon ? str_cut(host_port, (size_t)colon) : STR("localhost"));
	}
	loop_timer_in(&d->timer, d->lookup ? d->poll_ms : 0);
	return d;
}
