/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of /v1/agent share.
 */
#ifndef MUSTER_HTTPD_AGENT_H
#define MUSTER_HTTPD_AGENT_H

#include "httpd/httpd.h"

/* The release whose interfaces we speak; clients decide by it what they may ask for. */
#define CONSUL_VERSION "1.8.7"

/* One member as agent/members and agent/self show it. */
void member_render(struct jsonw *w, const struct member *m);

#endif
