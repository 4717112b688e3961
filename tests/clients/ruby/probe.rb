# Ruby clients as a user's program uses them: for each bucket named on standard input one read, one line of JSON.
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
