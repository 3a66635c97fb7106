/* sqs (private to local/): limits and pieces that its files share. */
#ifndef PERIGEE_LOCAL_SQS_H
#define PERIGEE_LOCAL_SQS_H
#include "local/store.h"

#endif
