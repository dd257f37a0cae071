# ingest
kafka-acls.sh --bootstrap-server 127.0.0.1:9092 --command-config $ADMIN --add --allow-principal User:hurnet-ingest --operation Read --topic texts  # the texts to remember
kafka-acls.sh --bootstrap-server 127.0.0.1:9092 --command-config $ADMIN --add --allow-principal User:hurnet-ingest --operation Read --group hurnet-ingest  # to share the partitions out
kafka-acls.sh --bootstrap-server 127.0.0.1:9092 --command-config $ADMIN --add --allow-principal User:hurnet-ingest --operation Write --topic dead-letters  # records that can't be taken in
kafka-acls.sh --bootstrap-server 127.0.0.1:9092 --command-config $ADMIN --add --allow-principal User:hurnet-ingest --operation DescribeConfigs --topic texts  # to warn of wrong settings
kafka-acls.sh --bootstrap-server 127.0.0.1:9092 --command-config $ADMIN --add --allow-principal User:hurnet-ingest --operation DescribeConfigs --topic dead-letters  # to warn of wrong settings
# responder
kafka-acls.sh --bootstrap-server 127.0.0.1:9092 --command-config $ADMIN --add --allow-principal User:hurnet-responder --operation Read --topic queries  # the questions
kafka-acls.sh --bootstrap-server 127.0.0.1:9092 --command-config $ADMIN --add --allow-principal User:hurnet-responder --operation Read --group hurnet-responder  # to share the partitions out
kafka-acls.sh --bootstrap-server 127.0.0.1:9092 --command-config $ADMIN --add --allow-principal User:hurnet-responder --operation Write --topic answers --resource-pattern-type prefixed  # answers, and other reply topics
kafka-acls.sh --bootstrap-server 127.0.0.1:9092 --command-config $ADMIN --add --allow-principal User:hurnet-responder --operation Write --topic dead-letters  # questions that end a process
kafka-acls.sh --bootstrap-server 127.0.0.1:9092 --command-config $ADMIN --add --allow-principal User:hurnet-responder --operation Describe --topic texts  # to check that it fills the store, and which offsets it has
kafka-acls.sh --bootstrap-server 127.0.0.1:9092 --command-config $ADMIN --add --allow-principal User:hurnet-responder --operation Write --transactional-id hurnet-responder/ --resource-pattern-type prefixed  # answers exactly once
kafka-acls.sh --bootstrap-server 127.0.0.1:9092 --command-config $ADMIN --add --allow-principal User:hurnet-responder --operation DescribeConfigs --topic queries  # to warn of wrong settings
kafka-acls.sh --bootstrap-server 127.0.0.1:9092 --command-config $ADMIN --add --allow-principal User:hurnet-responder --operation DescribeConfigs --topic answers  # to warn of wrong settings
kafka-acls.sh --bootstrap-server 127.0.0.1:9092 --command-config $ADMIN --add --allow-principal User:hurnet-responder --operation DescribeConfigs --topic dead-letters  # to warn of wrong settings
# feedback
kafka-acls.sh --bootstrap-server 127.0.0.1:9092 --command-config $ADMIN --add --allow-principal User:hurnet-feedback --operation Read --topic feedback  # what people say of answers
kafka-acls.sh --bootstrap-server 127.0.0.1:9092 --command-config $ADMIN --add --allow-principal User:hurnet-feedback --operation Read --group hurnet-feedback  # to share the partitions out
kafka-acls.sh --bootstrap-server 127.0.0.1:9092 --command-config $ADMIN --add --allow-principal User:hurnet-feedback --operation Write --topic texts  # what it teaches
kafka-acls.sh --bootstrap-server 127.0.0.1:9092 --command-config $ADMIN --add --allow-principal User:hurnet-feedback --operation Write --topic dead-letters  # feedback that can't be understood
kafka-acls.sh --bootstrap-server 127.0.0.1:9092 --command-config $ADMIN --add --allow-principal User:hurnet-feedback --operation Write --transactional-id hurnet-feedback/ --resource-pattern-type prefixed  # teaches exactly once
kafka-acls.sh --bootstrap-server 127.0.0.1:9092 --command-config $ADMIN --add --allow-principal User:hurnet-feedback --operation Describe --group hurnet-reshard-texts  # waits for what `hurnet reshard` forwards
kafka-acls.sh --bootstrap-server 127.0.0.1:9092 --command-config $ADMIN --add --allow-principal User:hurnet-feedback --operation DescribeConfigs --topic feedback  # to warn of wrong settings
kafka-acls.sh --bootstrap-server 127.0.0.1:9092 --command-config $ADMIN --add --allow-principal User:hurnet-feedback --operation DescribeConfigs --topic texts  # to warn of wrong settings
kafka-acls.sh --bootstrap-server 127.0.0.1:9092 --command-config $ADMIN --add --allow-principal User:hurnet-feedback --operation DescribeConfigs --topic dead-letters  # to warn of wrong settings
# reshard
kafka-acls.sh --bootstrap-server 127.0.0.1:9092 --command-config $ADMIN --add --allow-principal User:hurnet-reshard --operation Read --topic texts --resource-pattern-type prefixed  # the texts to forward, and which of them are forwarded
kafka-acls.sh --bootstrap-server 127.0.0.1:9092 --command-config $ADMIN --add --allow-principal User:hurnet-reshard --operation Write --topic texts- --resource-pattern-type prefixed  # forwards them
kafka-acls.sh --bootstrap-server 127.0.0.1:9092 --command-config $ADMIN --add --allow-principal User:hurnet-reshard --operation Create --topic texts- --resource-pattern-type prefixed  # makes the new topic
kafka-acls.sh --bootstrap-server 127.0.0.1:9092 --command-config $ADMIN --add --allow-principal User:hurnet-reshard --operation DescribeConfigs --topic texts  # gives the new topic the settings of the old one
kafka-acls.sh --bootstrap-server 127.0.0.1:9092 --command-config $ADMIN --add --allow-principal User:hurnet-reshard --operation Read --group hurnet-reshard- --resource-pattern-type prefixed  # to share the partitions out
kafka-acls.sh --bootstrap-server 127.0.0.1:9092 --command-config $ADMIN --add --allow-principal User:hurnet-reshard --operation Write --transactional-id hurnet-reshard- --resource-pattern-type prefixed  # forwards each text once
# canary
kafka-acls.sh --bootstrap-server 127.0.0.1:9092 --command-config $ADMIN --add --allow-principal User:hurnet-canary --operation Write --topic texts  # its probes, which it deletes
kafka-acls.sh --bootstrap-server 127.0.0.1:9092 --command-config $ADMIN --add --allow-principal User:hurnet-canary --operation Write --topic queries  # asks them back
kafka-acls.sh --bootstrap-server 127.0.0.1:9092 --command-config $ADMIN --add --allow-principal User:hurnet-canary --operation Read --topic answers-canary  # what it is answered
kafka-acls.sh --bootstrap-server 127.0.0.1:9092 --command-config $ADMIN --add --allow-principal User:hurnet-canary --operation Read --topic texts  # to verify entries (HURNET_CANARY_STORE)
# gateway
kafka-acls.sh --bootstrap-server 127.0.0.1:9092 --command-config $ADMIN --add --allow-principal User:hurnet-gateway --operation Write --topic queries  # asks
kafka-acls.sh --bootstrap-server 127.0.0.1:9092 --command-config $ADMIN --add --allow-principal User:hurnet-gateway --operation Read --topic answers  # what it is answered
kafka-acls.sh --bootstrap-server 127.0.0.1:9092 --command-config $ADMIN --add --allow-principal User:hurnet-gateway --operation Write --topic texts  # teaches and deletes
kafka-acls.sh --bootstrap-server 127.0.0.1:9092 --command-config $ADMIN --add --allow-principal User:hurnet-gateway --operation Write --topic feedback  # corrects
kafka-acls.sh --bootstrap-server 127.0.0.1:9092 --command-config $ADMIN --add --allow-principal User:hurnet-gateway --operation Write --transactional-id hurnet-gateway/ --resource-pattern-type prefixed  # writes whole or not at all
kafka-acls.sh --bootstrap-server 127.0.0.1:9092 --command-config $ADMIN --add --allow-principal User:hurnet-gateway --operation Read --topic texts  # looks whether a request was written, and what was taught
kafka-acls.sh --bootstrap-server 127.0.0.1:9092 --command-config $ADMIN --add --allow-principal User:hurnet-gateway --operation Read --topic feedback  # looks whether a request was written
kafka-acls.sh --bootstrap-server 127.0.0.1:9092 --command-config $ADMIN --add --allow-principal User:hurnet-gateway --operation Read --topic queries  # shows a receipt with its question
kafka-acls.sh --bootstrap-server 127.0.0.1:9092 --command-config $ADMIN --add --allow-principal User:hurnet-gateway --operation Read --topic dead-letters  # shows them
kafka-acls.sh --bootstrap-server 127.0.0.1:9092 --command-config $ADMIN --add --allow-principal User:hurnet-gateway --operation Describe --group hurnet-reshard-texts  # waits for what `hurnet reshard` forwards
kafka-acls.sh --bootstrap-server 127.0.0.1:9092 --command-config $ADMIN --add --allow-principal User:hurnet-gateway --operation Describe --group hurnet-ingest  # shows who works
kafka-acls.sh --bootstrap-server 127.0.0.1:9092 --command-config $ADMIN --add --allow-principal User:hurnet-gateway --operation Describe --group hurnet-responder  # shows who works
kafka-acls.sh --bootstrap-server 127.0.0.1:9092 --command-config $ADMIN --add --allow-principal User:hurnet-gateway --operation Describe --group hurnet-feedback  # shows who works
# producer
kafka-acls.sh --bootstrap-server 127.0.0.1:9092 --command-config $ADMIN --add --allow-principal User:hurnet-producer --operation Write --topic texts  # teaches and deletes
kafka-acls.sh --bootstrap-server 127.0.0.1:9092 --command-config $ADMIN --add --allow-principal User:hurnet-producer --operation Write --transactional-id hurnet-produce/ --resource-pattern-type prefixed  # sends files, each text once
kafka-acls.sh --bootstrap-server 127.0.0.1:9092 --command-config $ADMIN --add --allow-principal User:hurnet-producer --operation Read --group hurnet-produce/ --resource-pattern-type prefixed  # notes how far it has come with files
kafka-acls.sh --bootstrap-server 127.0.0.1:9092 --command-config $ADMIN --add --allow-principal User:hurnet-producer --operation Read --topic texts  # Kafka asks for it for such a note
# client
kafka-acls.sh --bootstrap-server 127.0.0.1:9092 --command-config $ADMIN --add --allow-principal User:hurnet-client --operation Write --topic queries  # asks
kafka-acls.sh --bootstrap-server 127.0.0.1:9092 --command-config $ADMIN --add --allow-principal User:hurnet-client --operation Read --topic answers  # reads all answers in it: better one topic a client
# critic
kafka-acls.sh --bootstrap-server 127.0.0.1:9092 --command-config $ADMIN --add --allow-principal User:hurnet-critic --operation Write --topic feedback  # says what was right and wrong
# operator
kafka-acls.sh --bootstrap-server 127.0.0.1:9092 --command-config $ADMIN --add --allow-principal User:hurnet-operator --operation Create --topic texts  # topics --create
kafka-acls.sh --bootstrap-server 127.0.0.1:9092 --command-config $ADMIN --add --allow-principal User:hurnet-operator --operation DescribeConfigs --topic texts  # topics
kafka-acls.sh --bootstrap-server 127.0.0.1:9092 --command-config $ADMIN --add --allow-principal User:hurnet-operator --operation Read --topic texts  # verify, repair, dead-letters, unanswered, correct, ask, replay
kafka-acls.sh --bootstrap-server 127.0.0.1:9092 --command-config $ADMIN --add --allow-principal User:hurnet-operator --operation Write --topic texts  # forget, contexts, repair, dead-letters, correct, ask
kafka-acls.sh --bootstrap-server 127.0.0.1:9092 --command-config $ADMIN --add --allow-principal User:hurnet-operator --operation Create --topic queries  # topics --create
kafka-acls.sh --bootstrap-server 127.0.0.1:9092 --command-config $ADMIN --add --allow-principal User:hurnet-operator --operation DescribeConfigs --topic queries  # topics
kafka-acls.sh --bootstrap-server 127.0.0.1:9092 --command-config $ADMIN --add --allow-principal User:hurnet-operator --operation Read --topic queries  # verify, repair, dead-letters, unanswered, correct, ask, replay
kafka-acls.sh --bootstrap-server 127.0.0.1:9092 --command-config $ADMIN --add --allow-principal User:hurnet-operator --operation Write --topic queries  # forget, contexts, repair, dead-letters, correct, ask
kafka-acls.sh --bootstrap-server 127.0.0.1:9092 --command-config $ADMIN --add --allow-principal User:hurnet-operator --operation Create --topic answers  # topics --create
kafka-acls.sh --bootstrap-server 127.0.0.1:9092 --command-config $ADMIN --add --allow-principal User:hurnet-operator --operation DescribeConfigs --topic answers  # topics
kafka-acls.sh --bootstrap-server 127.0.0.1:9092 --command-config $ADMIN --add --allow-principal User:hurnet-operator --operation Read --topic answers  # verify, repair, dead-letters, unanswered, correct, ask, replay
kafka-acls.sh --bootstrap-server 127.0.0.1:9092 --command-config $ADMIN --add --allow-principal User:hurnet-operator --operation Create --topic feedback  # topics --create
kafka-acls.sh --bootstrap-server 127.0.0.1:9092 --command-config $ADMIN --add --allow-principal User:hurnet-operator --operation DescribeConfigs --topic feedback  # topics
kafka-acls.sh --bootstrap-server 127.0.0.1:9092 --command-config $ADMIN --add --allow-principal User:hurnet-operator --operation Read --topic feedback  # verify, repair, dead-letters, unanswered, correct, ask, replay
kafka-acls.sh --bootstrap-server 127.0.0.1:9092 --command-config $ADMIN --add --allow-principal User:hurnet-operator --operation Write --topic feedback  # forget, contexts, repair, dead-letters, correct, ask
kafka-acls.sh --bootstrap-server 127.0.0.1:9092 --command-config $ADMIN --add --allow-principal User:hurnet-operator --operation Create --topic dead-letters  # topics --create
kafka-acls.sh --bootstrap-server 127.0.0.1:9092 --command-config $ADMIN --add --allow-principal User:hurnet-operator --operation DescribeConfigs --topic dead-letters  # topics
kafka-acls.sh --bootstrap-server 127.0.0.1:9092 --command-config $ADMIN --add --allow-principal User:hurnet-operator --operation Read --topic dead-letters  # verify, repair, dead-letters, unanswered, correct, ask, replay
kafka-acls.sh --bootstrap-server 127.0.0.1:9092 --command-config $ADMIN --add --allow-principal User:hurnet-operator --operation Create --topic answers-canary  # topics --create
kafka-acls.sh --bootstrap-server 127.0.0.1:9092 --command-config $ADMIN --add --allow-principal User:hurnet-operator --operation DescribeConfigs --topic answers-canary  # topics
kafka-acls.sh --bootstrap-server 127.0.0.1:9092 --command-config $ADMIN --add --allow-principal User:hurnet-operator --operation Read --topic answers-canary  # verify, repair, dead-letters, unanswered, correct, ask, replay
kafka-acls.sh --bootstrap-server 127.0.0.1:9092 --command-config $ADMIN --add --allow-principal User:hurnet-operator --operation Describe --group hurnet-ingest  # status
kafka-acls.sh --bootstrap-server 127.0.0.1:9092 --command-config $ADMIN --add --allow-principal User:hurnet-operator --operation Describe --group hurnet-responder  # status
kafka-acls.sh --bootstrap-server 127.0.0.1:9092 --command-config $ADMIN --add --allow-principal User:hurnet-operator --operation Describe --group hurnet-feedback  # status
