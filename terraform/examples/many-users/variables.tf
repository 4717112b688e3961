variable "deletion_protection" {
  description = "Whether a destroy of the pool, its provider and the accounts is refused. Default: true."
  type        = bool
  default     = true
}

variable "fleet" {
  description = "Value of the claim `fleet` in the tokens of all workers of this fleet. Default: batch."
  type        = string
  default     = "batch"
}

variable "jwks_file" {
  description = "Path of the file with the public keys, as `refresher keys jwks` prints them. Default: jwks.json."
  type        = string
  default     = "jwks.json"
}

variable "project_id" {
  description = "Id of the project that owns the pool."
  type        = string
}

variable "users" {
  description = <<-EOT
    Users, by name.
    - `buckets`: names of the buckets that the user reads. Default: none.
    - `invokes`: name of the Cloud Run service that the user invokes. Default: none.
    - `leaves`: whether the account may be deleted; apply it before you remove the user. Default: false.
    - `people`: people who may impersonate the account by hand. Default: none.
    - `signs`: whether the account may sign URLs. Default: false.
    - `subject`: claim `sub` of the user's tokens.
  EOT
  type = map(object({
    buckets = optional(set(string), [])
    invokes = optional(string)
    leaves  = optional(bool, false)
    people  = optional(set(string), [])
    signs   = optional(bool, false)
    subject = string
  }))
}
