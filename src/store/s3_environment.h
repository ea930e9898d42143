/*
 * s3_environment: what S3 options leave out, from the environment variables that every S3
 * tool reads: AWS_ACCESS_KEY_ID with AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN, AWS_REGION
 * or AWS_DEFAULT_REGION, AWS_ENDPOINT_URL_S3 or AWS_ENDPOINT_URL.
 *
 * Threads  any; nobody writes the environment
 * Memory   strings are borrowed from `given` and from the environment
 */
#ifndef TILTH_STORE_S3_ENVIRONMENT_H
#define TILTH_STORE_S3_ENVIRONMENT_H

#include "store/s3_options.h"

/*
 * Keys go together: with an access key of its own, secret and token are its own too. An
 * anonymous one gets no keys.
 */
struct s3_options s3_complete(const struct s3_options *given);

#endif
