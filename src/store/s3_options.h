/* s3_options: how to reach one S3 service. A plain value; strings are the caller's. */
#ifndef TILTH_STORE_S3_OPTIONS_H
#define TILTH_STORE_S3_OPTIONS_H

#include <stdbool.h>

/* Of the whole process, or of one source of a layer. */
struct s3_options {
    const char *endpoint; /* "http://127.0.0.1:9000"; NULL or "": AWS of `region` */
    const char *region;
    const char *access_key; /* NULL or "": anonymous */
    const char *secret_key;
    const char *session_token;
    bool path_style;
};

#endif
