# Ruby clients as in a user's program: for each bucket on standard input one read, and one line of JSON.
require "googleauth"
require "json"
require "net/http"

OBJECT = "hello"
SCOPE = "https://www.googleapis.com/auth/cloud-platform"
origin = ARGV[1]
credentials = nil
$stdout.sync = true

$stdin.each_line(chomp: true) do |bucket|
  credentials ||= Google::Auth.get_application_default([SCOPE])
  url = URI("#{origin}/storage/v1/b/#{bucket}/o/#{OBJECT}?alt=media")
  reply = Net::HTTP.get_response(url, credentials.apply({}))
  answer = reply.is_a?(Net::HTTPOK) ? { content: reply.body } : { error: reply.code, message: reply.body }
rescue StandardError => e
  answer = { error: e.class.name, message: e.message }
ensure
  puts answer.to_json
end
