"""What the brokers tell an admin client of topics and groups, and the topics that we create.

lookup       does this topic exist, and does it take messages? Remembered for seconds
check        `hurnet topics` and every worker's start: our topics, compared with what they should be
configs      what our topics should be set to, and what follows otherwise
describing   the questions that both of them ask
permitted    which operations on topics our user lacks
groups       who is in a consumer group, for `hurnet status`
"""
