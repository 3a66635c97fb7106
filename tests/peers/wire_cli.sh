#!/usr/bin/env bash
# The AWS command line with its default settings against `perigee cloud`: every operation that src/aws/ops.def has.
# usage: wire_cli.sh URL AWS SECTION      AWS: the command (its Python is used, see wire_cli.py)
# Prints a line a command: "ok ...", "not ok ...", or "none ..." where this command line or the engine lacks the operation, each with
# the name of the operation first; at its end what was called with success, and what this command line knows (wire_cli.py). Keys perigee/perigee, region us-east-1.
# Debian's awscli 2.9 speaks SQS's older protocol (Query) and sends no checksums by default; those of PyPI speak JSON, and send them.
set -uo pipefail
cd "$(dirname "$(readlink -f "$0")")/../.." || exit
url=$1 aws=$2 section=$3
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export AWS_ACCESS_KEY_ID=perigee AWS_SECRET_ACCESS_KEY=perigee AWS_DEFAULT_REGION=us-east-1 AWS_PAGER='' AWS_CONFIG_FILE=$work/config \
  AWS_SHARED_CREDENTIALS_FILE=/dev/null AWS_EC2_METADATA_DISABLED=true
unset AWS_PROFILE AWS_SESSION_TOKEN AWS_ENDPOINT_URL
printf '[default]\noutput = text\n' >"$work/config"

python=$(sed -n '1s/^#! *//p' "$aws")
coproc cli { exec timeout 500 "$python" tests/peers/wire_cli.py "$work"; }
out='' err='' status=0
call() {
  printf '%s\0' --endpoint-url "$url" "$@" >"$work/args"
  printf '\n' >&"${cli[1]}" && read -r -t 120 status <&"${cli[0]}" || status=gone
  out=$(tr -s ' \t\n' ' ' <"$work/out") err=$(tail -c 1000 "$work/err" | tr -s ' \n' ' ')
  out=${out% }
}

# SERVICE COMMAND: whether the engine has the operation; s3 and wait are made of others.
has() {
  local service=$1 action
  case $1 in s3) return 0 ;; s3api) service=s3 ;; sesv2) service=ses ;; esac
  if [ "$2" = wait ] || [ "$service" = ses ]; then return 0; fi
  action=$(sed -E 's/(^|-)(.)/\U\2/g' <<<"$2")
  grep -qiE "AWS_OP\($service, $action," src/aws/ops.def
}

# Whether $1 $2 is to be looked at; the line that says why not.
there() {
  if ! has "$1" "$2"; then echo "none $1 $2: not in ops.def"; elif grep -q 'Invalid choice\|invalid choice\|Unknown options' <<<"$err"; then
    echo "none $1 $2: this command line does not know it"; else return 0; fi
  return 1
}

say() { printf '%s\n' "$*" | tr -s '\n' ' ' && echo; }

# want EXPECTED ARGS...: the output, white space squeezed, must be EXPECTED (a pattern of bash).
want() {
  local expected=$1
  shift
  call "$@"
  there "$1" "$2" || return 1
  # shellcheck disable=SC2053
  if [ "$status" = 0 ] && [[ $out == $expected ]]; then
    echo "ok $1 $2"
    return 0
  fi
  say "not ok $1 $2: line ${BASH_LINENO[0]}: expected '$expected', got '${out:0:600}' $err ($status)"
  return 1
}

# refused CODE ARGS...: the service refuses it with this code.
refused() {
  call "${@:2}"
  there "$2" "$3" && code_is "$@"
}

# unserved CODE ARGS...: likewise, of an operation that the engine has not.
unserved() {
  call "${@:2}"
  code_is "$@"
}

code_is() {
  local code=$1
  shift
  if [ "$status" != 0 ] && [[ $err == *"$code)"* ]]; then
    echo "ok $1 $2"
    return 0
  fi
  say "not ok $1 $2: line ${BASH_LINENO[1]}: expected $code, got '${out:0:300}' $err ($status)"
  return 1
}

# same NAME A B: two values that must be equal.
same() {
  if [ "$2" = "$3" ]; then echo "ok $1"; else say "not ok $1: line ${BASH_LINENO[0]}: '${2:0:300}' is not '${3:0:300}'"; fi
}

sts() {
  want '000000000000 arn:aws:iam::000000000000:* ?*' sts get-caller-identity --query '[Account,Arn,UserId]'
}

dynamodb() {
  local d=dynamodb arn
  want '@(ACTIVE|CREATING)' $d create-table --table-name cli --attribute-definitions AttributeName=pk,AttributeType=S AttributeName=sk,AttributeType=N \
    --key-schema AttributeName=pk,KeyType=HASH AttributeName=sk,KeyType=RANGE --billing-mode PAY_PER_REQUEST --query TableDescription.TableStatus
  want '' $d wait table-exists --table-name cli
  refused ResourceInUseException $d create-table --table-name cli --attribute-definitions AttributeName=pk,AttributeType=S \
    --key-schema AttributeName=pk,KeyType=HASH --billing-mode PAY_PER_REQUEST
  want 'cli ACTIVE pk sk' $d describe-table --table-name cli --query 'Table.[TableName,TableStatus,KeySchema[0].AttributeName,KeySchema[1].AttributeName]'
  want '*cli*' $d list-tables --query TableNames
  want '' $d put-item --table-name cli --item '{"pk":{"S":"a"},"sk":{"N":"1"},"n":{"N":"0.1"},"b":{"B":"AAEC"},"l":{"L":[{"NULL":true},{"BOOL":false}]}}'
  want '0.1 @(AAEC|QUFFQw==) True False' $d get-item --table-name cli --key '{"pk":{"S":"a"},"sk":{"N":"1"}}' --consistent-read \
    --query 'Item.[n.N,b.B,l.L[0].NULL,l.L[1].BOOL]'
  refused ConditionalCheckFailedException $d put-item --table-name cli --item '{"pk":{"S":"a"},"sk":{"N":"1"}}' \
    --condition-expression 'attribute_not_exists(pk)'
  want '0.3' $d update-item --table-name cli --key '{"pk":{"S":"a"},"sk":{"N":"1"}}' --update-expression 'SET n = n + :d' \
    --expression-attribute-values '{":d":{"N":"0.2"}}' --return-values UPDATED_NEW --query Attributes.n.N
  refused ValidationException $d update-item --table-name cli --key '{"pk":{"S":"a"},"sk":{"N":"1"}}' --update-expression 'SET pk = :d' \
    --expression-attribute-values '{":d":{"S":"x"}}'
  want '{} 0' $d batch-write-item --request-items '{"cli":[{"PutRequest":{"Item":{"pk":{"S":"a"},"sk":{"N":"2"}}}},
    {"PutRequest":{"Item":{"pk":{"S":"a"},"sk":{"N":"3"}}}},{"PutRequest":{"Item":{"pk":{"S":"b"},"sk":{"N":"1"}}}}]}' \
    --query '[to_string(UnprocessedItems), length(UnprocessedItems)]'
  want '2 0' $d batch-get-item --request-items '{"cli":{"Keys":[{"pk":{"S":"a"},"sk":{"N":"2"}},{"pk":{"S":"b"},"sk":{"N":"1"}},{"pk":{"S":"no"},"sk":{"N":"1"}}]}}' \
    --query '[length(Responses.cli), length(UnprocessedKeys)]'
  want '3 2 1 3' $d query --table-name cli --key-condition-expression 'pk = :a' --expression-attribute-values '{":a":{"S":"a"}}' --no-scan-index-forward \
    --query '[Items[0].sk.N, Items[1].sk.N, Items[2].sk.N, Count]'
  want '1 1 1 1 0' $d scan --table-name cli --page-size 1 --query 'length(Items)'
  want '2' $d scan --table-name cli --filter-expression 'sk = :n' --expression-attribute-values '{":n":{"N":"1.0"}}' --select COUNT --query Count
  want '' $d transact-write-items --transact-items '[{"Put":{"TableName":"cli","Item":{"pk":{"S":"t"},"sk":{"N":"1"}}}},
    {"Delete":{"TableName":"cli","Key":{"pk":{"S":"a"},"sk":{"N":"3"}}}}]'
  refused TransactionCanceledException $d transact-write-items --transact-items '[{"Put":{"TableName":"cli","Item":{"pk":{"S":"never"},"sk":{"N":"1"}}}},
    {"ConditionCheck":{"TableName":"cli","Key":{"pk":{"S":"a"},"sk":{"N":"3"}},"ConditionExpression":"attribute_exists(pk)"}}]'
  want 't None' $d transact-get-items --transact-items '[{"Get":{"TableName":"cli","Key":{"pk":{"S":"t"},"sk":{"N":"1"}}}},
    {"Get":{"TableName":"cli","Key":{"pk":{"S":"never"},"sk":{"N":"1"}}}}]' --query '[Responses[0].Item.pk.S, Responses[1].Item.pk.S]'
  want 't' $d delete-item --table-name cli --key '{"pk":{"S":"t"},"sk":{"N":"1"}}' --return-values ALL_OLD --query Attributes.pk.S
  want 'ttl True' $d update-time-to-live --table-name cli --time-to-live-specification Enabled=true,AttributeName=ttl \
    --query 'TimeToLiveSpecification.[AttributeName,Enabled]'
  want 'ttl ENABL*' $d describe-time-to-live --table-name cli --query 'TimeToLiveDescription.[AttributeName,TimeToLiveStatus]'
  want '*' $d update-table --table-name cli --attribute-definitions AttributeName=g,AttributeType=S --global-secondary-index-updates \
    '[{"Create":{"IndexName":"by_g","KeySchema":[{"AttributeName":"g","KeyType":"HASH"}],"Projection":{"ProjectionType":"ALL"}}}]' --query TableDescription.TableName
  want 'by_g' $d describe-table --table-name cli --query 'Table.GlobalSecondaryIndexes[].IndexName'
  arn=$(call $d describe-table --table-name cli --query Table.TableArn && echo "$out")
  want '' $d tag-resource --resource-arn "$arn" --tags Key=team,Value=tea Key=x,Value=y
  want '' $d untag-resource --resource-arn "$arn" --tag-keys x
  want 'team tea' $d list-tags-of-resource --resource-arn "$arn" --query 'Tags[].[Key,Value]'
  want '80000 40000' $d describe-limits --query '[AccountMaxReadCapacityUnits,TableMaxReadCapacityUnits]'
  want '[0-9]*' $d describe-endpoints --query 'Endpoints[0].CachePeriodInMinutes'
  want '*ABLED' $d describe-continuous-backups --table-name cli --query ContinuousBackupsDescription.ContinuousBackupsStatus
  want 'cli' $d delete-table --table-name cli --query TableDescription.TableName
  want '' $d wait table-not-exists --table-name cli
  refused ResourceNotFoundException $d describe-table --table-name cli
}

sqs() {
  local q fifo dead handle arn entries
  want "*/000000000000/cli" sqs create-queue --queue-name cli --attributes VisibilityTimeout=5,MessageRetentionPeriod=3600
  q=$out
  want "$q" sqs get-queue-url --queue-name cli
  refused AWS.SimpleQueueService.NonExistentQueue sqs get-queue-url --queue-name no-such-queue
  want "*$q*" sqs list-queues --queue-name-prefix cl --query QueueUrls
  want '5 3600 arn:aws:sqs:us-east-1:000000000000:cli 0' sqs get-queue-attributes --queue-url "$q" --attribute-names All \
    --query 'Attributes.[VisibilityTimeout,MessageRetentionPeriod,QueueArn,ApproximateNumberOfMessages]'
  arn=arn:aws:sqs:us-east-1:000000000000:cli
  want '' sqs set-queue-attributes --queue-url "$q" --attributes VisibilityTimeout=30
  want '30' sqs get-queue-attributes --queue-url "$q" --attribute-names VisibilityTimeout --query Attributes.VisibilityTimeout
  want '5d41402abc4b2a76b9719d911017c592 ?*' sqs send-message --queue-url "$q" --message-body hello \
    --message-attributes '{"kind":{"DataType":"String","StringValue":"tea"},"n":{"DataType":"Number.int","StringValue":"7"}}' --query '[MD5OfMessageBody,MessageId]'
  want 'hello tea Number.int 1' sqs receive-message --queue-url "$q" --message-attribute-names All --attribute-names All --wait-time-seconds 2 \
    --query 'Messages[0].[Body,MessageAttributes.kind.StringValue,MessageAttributes.n.DataType,Attributes.ApproximateReceiveCount]'
  want 'None' sqs receive-message --queue-url "$q" --query Messages
  want 'a b' sqs send-message-batch --queue-url "$q" --entries Id=a,MessageBody=1 Id=b,MessageBody=2 --query 'Successful[].Id'
  refused AWS.SimpleQueueService.BatchEntryIdsNotDistinct sqs send-message-batch --queue-url "$q" --entries Id=a,MessageBody=1 Id=a,MessageBody=2
  call sqs receive-message --queue-url "$q" --max-number-of-messages 10 --query 'Messages[].ReceiptHandle'
  read -r -a entries <<<"$out"
  same "sqs receive-message" "${#entries[@]}" 2
  handle=${entries[0]:-none}
  want '' sqs change-message-visibility --queue-url "$q" --receipt-handle "$handle" --visibility-timeout 60
  want 'x' sqs change-message-visibility-batch --queue-url "$q" --entries "Id=x,ReceiptHandle=$handle,VisibilityTimeout=90" --query 'Successful[].Id'
  want '' sqs delete-message --queue-url "$q" --receipt-handle "$handle"
  want '' sqs delete-message --queue-url "$q" --receipt-handle "$handle"
  want 'y' sqs delete-message-batch --queue-url "$q" --entries "Id=y,ReceiptHandle=${entries[1]:-none}" --query 'Successful[].Id'
  refused ReceiptHandleIsInvalid sqs delete-message --queue-url "$q" --receipt-handle garbage
  want '' sqs tag-queue --queue-url "$q" --tags team=tea,x=y
  want '' sqs untag-queue --queue-url "$q" --tag-keys x
  want 'tea' sqs list-queue-tags --queue-url "$q" --query Tags.team
  want '' sqs purge-queue --queue-url "$q"

  want '*/orders.fifo' sqs create-queue --queue-name orders.fifo --attributes FifoQueue=true,ContentBasedDeduplication=true
  fifo=$out
  want '?*' sqs send-message --queue-url "$fifo" --message-body one --message-group-id g --query SequenceNumber
  handle=$out
  want "$handle" sqs send-message --queue-url "$fifo" --message-body one --message-group-id g --query SequenceNumber
  want 'one' sqs receive-message --queue-url "$fifo" --max-number-of-messages 10 --query 'Messages[].Body'
  refused MissingParameter sqs send-message --queue-url "$fifo" --message-body two

  want '*/dead' sqs create-queue --queue-name dead
  dead=$out
  want '' sqs set-queue-attributes --queue-url "$q" --attributes \
    '{"VisibilityTimeout":"0","RedrivePolicy":"{\"deadLetterTargetArn\":\"arn:aws:sqs:us-east-1:000000000000:dead\",\"maxReceiveCount\":\"1\"}"}'
  want "$q" sqs list-dead-letter-source-queues --queue-url "$dead" --query queueUrls
  want '?*' sqs send-message --queue-url "$q" --message-body poison --query MessageId
  want 'poison' sqs receive-message --queue-url "$q" --query 'Messages[].Body'
  want 'None' sqs receive-message --queue-url "$q" --query Messages
  want '1' sqs get-queue-attributes --queue-url "$dead" --attribute-names ApproximateNumberOfMessages --query Attributes.ApproximateNumberOfMessages
  # ten messages, one a second: it runs when it is cancelled
  want 'None' sqs send-message-batch --queue-url "$dead" --entries Id={0..9},MessageBody=poison --query Failed
  if want '?*' sqs start-message-move-task --source-arn "${arn%cli}dead" --destination-arn "$arn" --max-number-of-messages-per-second 1 --query TaskHandle; then
    handle=$out
    want 'RUNNING' sqs list-message-move-tasks --source-arn "${arn%cli}dead" --query 'Results[].Status'
    want '*[0-9]' sqs cancel-message-move-task --task-handle "$handle" --query ApproximateNumberOfMessagesMoved
    want 'CANCEL*' sqs list-message-move-tasks --source-arn "${arn%cli}dead" --query 'Results[].Status'
    refused ResourceNotFoundException sqs cancel-message-move-task --task-handle "$handle"
  else
    there sqs list-message-move-tasks
    there sqs cancel-message-move-task
  fi
  want '' sqs add-permission --queue-url "$q" --label ours --aws-account-ids 111122223333 --actions SendMessage ReceiveMessage
  want '*111122223333*' sqs get-queue-attributes --queue-url "$q" --attribute-names Policy --query Attributes.Policy
  want '' sqs remove-permission --queue-url "$q" --label ours
  want '' sqs delete-queue --queue-url "$dead"
  want '' sqs delete-queue --queue-url "$fifo"
  want '' sqs delete-queue --queue-url "$q"
  refused AWS.SimpleQueueService.NonExistentQueue sqs get-queue-attributes --queue-url "$q"
}

ses() {
  want '' ses verify-email-identity --email-address shop@example.com
  want '*shop@example.com*' ses list-identities --query Identities
  want '?*' ses send-email --from shop@example.com --to 'you@example.com' --subject 'Grüße' --text 'a body' --query MessageId
  printf 'From: shop@example.com\nTo: you@example.com\nSubject: raw\n\nhello\n' >"$work/mail"
  want '?*' ses send-raw-email --raw-message "{\"Data\":\"$(base64 -w 0 "$work/mail")\"}" --cli-binary-format base64 --query MessageId >"$work/raw"
  if grep -q 'does not know it' "$work/raw"; then
    want '?*' ses send-raw-email --raw-message "{\"Data\":\"$(sed 's/$/\\n/' "$work/mail" | tr -d '\n')\"}" --query MessageId
  else cat "$work/raw"; fi
  want '*[0-9] *[0-9]' ses get-send-quota --query '[Max24HourSend,MaxSendRate]'
  want 'Success' ses get-identity-verification-attributes --identities shop@example.com \
    --query 'VerificationAttributes."shop@example.com".VerificationStatus'
  want '' ses delete-identity --identity shop@example.com
}

sesv2() {
  want 'EMAIL_ADDRESS *' sesv2 create-email-identity --email-identity team@example.com --query '[IdentityType,VerifiedForSendingStatus]'
  refused AlreadyExistsException sesv2 create-email-identity --email-identity team@example.com
  want 'EMAIL_ADDRESS' sesv2 get-email-identity --email-identity team@example.com --query IdentityType
  want '*team@example.com*' sesv2 list-email-identities --query 'EmailIdentities[].IdentityName'
  want '?*' sesv2 send-email --from-email-address team@example.com --destination ToAddresses=you@example.com \
    --content '{"Simple":{"Subject":{"Data":"Grüße"},"Body":{"Text":{"Data":"hi"}}}}' --query MessageId
  want 'True' sesv2 get-account --query SendingEnabled
  want '' sesv2 delete-email-identity --email-identity team@example.com
  refused NotFoundException sesv2 get-email-identity --email-identity team@example.com
}

s3api() {
  local s=s3api id version
  want '/clib' $s create-bucket --bucket clib
  want '*' $s head-bucket --bucket clib
  refused 404 $s head-bucket --bucket nobody-has-this
  want '*clib*' $s list-buckets --query 'Buckets[].Name'
  want 'None' $s get-bucket-location --bucket clib --query LocationConstraint
  printf 'hello' >"$work/hello"
  want '"5d41402abc4b2a76b9719d911017c592"' $s put-object --bucket clib --key 'a/b c+ü.txt' --body "$work/hello" --content-type text/plain --metadata k=v --query ETag
  want '5 text/plain v' $s get-object --bucket clib --key 'a/b c+ü.txt' --query '[ContentLength,ContentType,Metadata.k]' "$work/got"
  same "$s get-object" "$(cat "$work/got" 2>/dev/null)" hello
  want 'bytes 1-3/5' $s get-object --bucket clib --key 'a/b c+ü.txt' --range bytes=1-3 --query ContentRange "$work/got"
  same "$s get-object" "$(cat "$work/got" 2>/dev/null)" ell
  want '5 *5d41402abc4b2a76b9719d911017c592*' $s head-object --bucket clib --key 'a/b c+ü.txt' --query '[ContentLength,ETag]'
  refused 404 $s head-object --bucket clib --key none
  refused NoSuchKey $s get-object --bucket clib --key none "$work/none"
  refused NoSuchBucket $s put-object --bucket nobody-has-this --key a --body "$work/hello"
  want '*5d41402abc4b2a76b9719d911017c592*' $s copy-object --bucket clib --key copy --copy-source 'clib/a/b c+ü.txt' --query CopyObjectResult.ETag
  want 'STANDARD 5' $s get-object-attributes --bucket clib --key copy --object-attributes StorageClass ObjectSize ETag --query '[StorageClass,ObjectSize]'
  want '*' $s put-object-tagging --bucket clib --key copy --tagging 'TagSet=[{Key=a,Value=b}]' --query VersionId
  want 'a b' $s get-object-tagging --bucket clib --key copy --query 'TagSet[].[Key,Value]'
  want '*' $s delete-object-tagging --bucket clib --key copy
  want 'a/b c+ü.txt?( copy)' $s list-objects-v2 --bucket clib --query 'Contents[].Key'
  want 'a/' $s list-objects-v2 --bucket clib --delimiter / --query 'CommonPrefixes[].Prefix'
  want '*a/b c+ü.txt*' $s list-objects --bucket clib --query 'Contents[].Key'
  if want '?*' $s create-multipart-upload --bucket clib --key big --query UploadId; then
    id=$out
    want 'big' $s list-multipart-uploads --bucket clib --query 'Uploads[].Key'
    head -c 5242880 /dev/zero >"$work/part"
    want '*5f363e0e58a95f06cbe9bbc662c5dfb6*' $s upload-part --bucket clib --key big --upload-id "$id" --part-number 1 --body "$work/part" --query ETag
    want '*' $s upload-part-copy --bucket clib --key big --upload-id "$id" --part-number 2 --copy-source 'clib/a/b c+ü.txt' --query CopyPartResult.ETag
    want '1*' $s list-parts --bucket clib --key big --upload-id "$id" --query 'Parts[].PartNumber'
    want '*-1"' $s complete-multipart-upload --bucket clib --key big --upload-id "$id" \
      --multipart-upload '{"Parts":[{"PartNumber":1,"ETag":"\"5f363e0e58a95f06cbe9bbc662c5dfb6\""}]}' --query ETag
    want '5242880' $s head-object --bucket clib --key big --query ContentLength
    call $s create-multipart-upload --bucket clib --key gone --query UploadId
    want '*' $s abort-multipart-upload --bucket clib --key gone --upload-id "$out"
  fi
  if want '' $s put-bucket-versioning --bucket clib --versioning-configuration Status=Enabled; then
    want 'Enabled' $s get-bucket-versioning --bucket clib --query Status
    want '?*' $s put-object --bucket clib --key v --body "$work/hello" --query VersionId
    version=$out
    want 'True' $s delete-object --bucket clib --key v --query DeleteMarker
    want 'v' $s list-object-versions --bucket clib --prefix v --query 'Versions[0].Key'
    want '5' $s get-object --bucket clib --key v --version-id "$version" --query ContentLength "$work/got"
  fi
  want '*' $s put-bucket-lifecycle-configuration --bucket clib --lifecycle-configuration \
    '{"Rules":[{"ID":"old","Status":"Enabled","Filter":{"Prefix":"tmp/"},"Expiration":{"Days":7}}]}'
  want 'old tmp/ 7' $s get-bucket-lifecycle-configuration --bucket clib --query 'Rules[].[ID,Filter.Prefix,Expiration.Days]'
  want '' $s delete-bucket-lifecycle --bucket clib
  refused NoSuchLifecycleConfiguration $s get-bucket-lifecycle-configuration --bucket clib
  want '*' $s delete-object --bucket clib --key 'a/b c+ü.txt'
  want '*' $s delete-object --bucket clib --key 'a/b c+ü.txt'
  want 'copy big' $s delete-objects --bucket clib --delete 'Objects=[{Key=copy},{Key=big}]' --query 'Deleted[].Key'
  call $s create-bucket --bucket clib2
  want '' $s delete-bucket --bucket clib2
}

s3() {
  local link code
  want 'make_bucket: high' s3 mb s3://high
  want '* high*' s3 ls
  mkdir -p "$work/tree/deep"
  echo one >"$work/tree/one.txt"
  echo two >"$work/tree/deep/two ü+.txt"
  : >"$work/tree/empty"
  find "$work/tree" -type f -exec touch -d '1 minute ago' {} + # S3's times are whole seconds
  want 'upload: *' s3 cp "$work/tree/one.txt" s3://high/one.txt --no-progress
  want 'download: *' s3 cp s3://high/one.txt "$work/back" --no-progress
  same "s3 cp" "$(cat "$work/back" 2>/dev/null)" one
  want 'upload: * upload: * upload: *' s3 sync "$work/tree" s3://high/tree --no-progress
  want '' s3 sync "$work/tree" s3://high/tree --no-progress
  want '*PRE deep/*empty*one.txt' s3 ls s3://high/tree/
  want 'download: * download: * download: *' s3 sync s3://high/tree "$work/again" --no-progress
  same "s3 sync" "$(cd "$work/again" 2>/dev/null && cat "deep/two ü+.txt" one.txt empty)" "$(printf 'two\none')"

  if has s3api create-multipart-upload; then
    head -c 20971520 /dev/urandom >"$work/big"
    want 'upload: *' s3 cp "$work/big" s3://high/big --no-progress
    want '*-3"' s3api head-object --bucket high --key big --query ETag
    want 'download: *' s3 cp s3://high/big "$work/big.back" --no-progress
    same "s3 cp" "$(sha256sum <"$work/big")" "$(sha256sum <"$work/big.back")"
    want 'copy: *' s3 cp s3://high/big s3://high/big.copy --no-progress
    same "s3 cp" "$(call s3 cp s3://high/big.copy "$work/big.back" --no-progress && sha256sum <"$work/big.back")" "$(sha256sum <"$work/big")"
    want 'move: *' s3 mv s3://high/big.copy s3://high/big.moved --no-progress
  else echo "none s3 cp: multipart uploads are not in ops.def"; fi

  want 'upload: *one.txt *' s3 cp "$work/tree" s3://high/some/ --recursive --exclude '*' --include '*.txt' --no-progress
  want '*some/deep/two ü+.txt*some/one.txt Total Objects: 2*' s3 ls s3://high/some/ --recursive --summarize
  want 'move: *' s3 mv s3://high/some s3://high/other --recursive --no-progress
  rm "$work/tree/one.txt"
  want 'delete: *one.txt' s3 sync "$work/tree" s3://high/tree --delete --no-progress
  same "s3 cp" "$(printf streamed | timeout 60 "$aws" --endpoint-url "$url" s3 cp - s3://high/stream && call s3 cp s3://high/stream - && cat "$work/out")" streamed
  want 'move: *' s3 mv s3://high/stream "$work/moved" --no-progress
  same "s3 mv" "$(cat "$work/moved" 2>/dev/null)" streamed
  for version in s3 s3v4; do # SigV2's links are what a custom endpoint gets by default
    printf '[default]\noutput = text\ns3 =\n  signature_version = %s\n' $version >"$work/config"
    want 'http*' s3 presign s3://high/one.txt --expires-in 60
    link=$out
    if [ $version = s3v4 ]; then same "s3 presign" "$(grep -c X-Amz-Signature <<<"$link")" 1; fi
    same "s3 presign" "$(curl -s --max-time 20 "$link")" one
    code=$(curl -s --max-time 20 -o "$work/refused" -w '%{http_code}' "${link/one.txt/two.txt}")
    same "s3 presign" "$code $(grep -o SignatureDoesNotMatch "$work/refused" | head -n 1)" "403 SignatureDoesNotMatch"
  done
  printf '[default]\noutput = text\n' >"$work/config"
  want 'delete: *' s3 rm s3://high/one.txt
  want 'delete: * delete: *' s3 rm s3://high/tree --recursive
  has s3api delete-bucket || { echo "none s3 rb: not in ops.def" && return; }
  call s3 rm s3://high --recursive
  want 'remove_bucket: high' s3 rb s3://high
}

# What the command line makes of several calls, and how it is told to.
ways() {
  local d=dynamodb s=s3api next i
  want '?*' $d create-table --table-name ways --attribute-definitions AttributeName=pk,AttributeType=S --key-schema AttributeName=pk,KeyType=HASH \
    --billing-mode PAY_PER_REQUEST --query TableDescription.TableName
  want '' $d wait table-exists --table-name ways
  want '/ways' $s create-bucket --bucket ways --query Location
  want '' $s wait bucket-exists --bucket ways
  printf 'hello' >"$work/hello"
  for i in 1 2 3 4 5; do
    call $d put-item --table-name ways --item "{\"pk\":{\"S\":\"$i\"}}"
    call $s put-object --bucket ways --key "k$i" --body "$work/hello"
    call sqs create-queue --queue-name "ways$i"
  done

  # pages: as many calls as it takes, a part of a page, and the rest from there
  want '2 2 1' $d scan --table-name ways --page-size 2 --query Count
  want '"3 ?*"' $d scan --table-name ways --max-items 3 --page-size 2 --output json --query "join(' ', [to_string(length(Items)), NextToken])"
  next=${out#*3 } next=${next%\"}
  want '2 None' $d scan --table-name ways --starting-token "$next" --query '[length(Items), NextToken]'
  want 'k1 k2 k3 k4 k5' $s list-objects-v2 --bucket ways --page-size 2 --query 'Contents[].Key'
  want 'k1 k2 k3 ?*' $s list-objects-v2 --bucket ways --max-items 3 --page-size 2 --query '[Contents[].Key, [NextToken]][]'
  want 'k4 k5' $s list-objects-v2 --bucket ways --starting-token "${out##* }" --query 'Contents[].Key'
  want 'k1 ?*' $s list-object-versions --bucket ways --max-items 1 --query '[Versions[].Key, [NextToken]][]'
  want 'k2*' $s list-object-versions --bucket ways --max-items 1 --starting-token "${out##* }" --query 'Versions[].Key'
  want '*ways1 *ways2 *ways3 *ways4 *ways5' sqs list-queues --queue-name-prefix ways --page-size 2 --query 'QueueUrls'
  want '*ways1 *ways2*' sqs list-queues --queue-name-prefix ways --max-items 2 --query QueueUrls
  want '1' $d list-tables --max-items 1 --query 'length(TableNames)'

  # waiters
  want '' $s wait object-exists --bucket ways --key k1
  want '' $s wait object-not-exists --bucket ways --key none
  want '' $s wait bucket-not-exists --bucket nobody-has-this
  want '' $d wait table-not-exists --table-name none

  # how bytes are written on the command line: version 2 only
  if want '' $d put-item --table-name ways --item '{"pk":{"S":"b"},"b":{"B":"AAEC"}}' --cli-binary-format base64; then
    want 'AAEC' $d get-item --table-name ways --key '{"pk":{"S":"b"}}' --query Item.b.B
    want '' $d put-item --table-name ways --item '{"pk":{"S":"b"},"b":{"B":"k"}}' --cli-binary-format raw-in-base64-out
    want 'aw==' $d get-item --table-name ways --key '{"pk":{"S":"b"}}' --query Item.b.B
  fi

  # parameters from files and a skeleton of them
  printf '{"TableName":"ways","Key":{"pk":{"S":"1"}}}' >"$work/get.json"
  want '1' $d get-item --cli-input-json "file://$work/get.json" --query Item.pk.S

  # what the engine has not is said by name, not done in part
  unserved NotImplemented $s get-bucket-acl --bucket ways
  unserved NotImplemented $s put-bucket-policy --bucket ways --policy '{}'
  unserved NotImplemented $s put-bucket-website --bucket ways --website-configuration '{"IndexDocument":{"Suffix":"index.html"}}'
  unserved NotImplemented s3 website s3://ways --index-document index.html
  unserved NotImplemented $s put-object --bucket ways --key k --storage-class GLACIER
  unserved NotImplemented $s put-object --bucket ways --key k --server-side-encryption aws:kms
  unserved UnknownOperationException $d create-backup --table-name ways --backup-name backup
  unserved InvalidAction sts get-session-token
  unserved InvalidAction ses list-templates

  want 'ways' $d delete-table --table-name ways --query TableDescription.TableName
  want '*remove_bucket: ways' s3 rb s3://ways --force
  for i in 1 2 3 4 5; do
    call sqs get-queue-url --queue-name "ways$i" --query QueueUrl
    want '' sqs delete-queue --queue-url "$out"
  done
}

case $section in ways | sts | dynamodb | sqs | ses | sesv2 | s3api | s3) $section ;; *) echo "wire_cli.sh: no section '$section'" >&2 && exit 2 ;; esac
sort -u "$work/calls" "$work/known"
