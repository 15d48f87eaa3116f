/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Makes certificates for a cluster of its own: a certification authority, and what it signs. Keys
 * are ECDSA on P-256, signatures SHA-256.
 */
#ifndef MUSTER_COMMON_SYS_TLS_MAKE_H
#define MUSTER_COMMON_SYS_TLS_MAKE_H

#include "common/base/bind.h"
#include "common/base/buf.h"

struct tls_pair {
	struct buf certificate, key; /* PEM */
};

void tls_pair_fini(struct tls_pair *p);

/* permitted: domains that it may sign for; none: all. ST_INVALID with the reason in *why. */
int tls_make_ca(int64_t days, struct strs permitted, struct tls_pair *out, struct buf *why);

struct tls_subject {
	struct str name; /* CN; is to stand in dns_names, too */
	struct strs dns_names, addresses;
	int64_t days;
	bool is_peer; /* it may be shown by servers and clients; else its use is left open */
};

int tls_make_certificate(const struct tls_pair *ca, const struct tls_subject *s,
	struct tls_pair *out, struct buf *why);

#endif
