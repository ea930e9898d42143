/* s3_options: how to reach one S3 service. A plain value; strings are the caller's. */
#ifndef TILTH_STORE_S3_OPTIONS_H
#define TILTH_STORE_S3_OPTIONS_H

#include <stdbool.h>

/*
 * Of the whole process, or of one source of a layer. What is NULL or "" comes from the
 * environment (AWS_*) where it is set there.
 */
struct s3_options {
    const char *endpoint;   /* "http://127.0.0.1:9000"; else AWS of `region` */
    const char *region;     /* else us-east-1 */
    const char *access_key; /* else requests are not signed */
    const char *secret_key;
    const char *session_token;
    bool path_style;
    bool anonymous; /* not signed, whatever keys there are */
};

#endif
